"""The C library's heap, kept as it is between steps.

PyTorch frees and takes all activations in every step. glibc maps such blocks one by one, or trims
its heap by them, and each comes again as pages that must be cleared.
"""

import ctypes
import platform

# Of mallopt(3).
TRIM_THRESHOLD, MMAP_MAX = -1, -4
LARGEST_THRESHOLD = 2**31 - 1


def keep_heap() -> bool:
    """Never map a block by itself, never give memory back; false where the library is no glibc.

    It holds for the whole process and cannot be undone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL("libc.so.6")
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, LARGEST_THRESHOLD))
    return all(library.mallopt(name, value) == 1 for name, value in settings)
