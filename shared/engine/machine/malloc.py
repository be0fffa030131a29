"""Setting of the C library that keeps its heap between steps.

PyTorch frees and allocates all activations in every step. glibc maps such large blocks one by one,
or trims its heap, and each block then returns as pages that the kernel must clear.
"""

import ctypes
import platform

# Names of options in mallopt(3), which Python does not define.
TRIM_THRESHOLD, MMAP_MAX = -1, -4
LARGEST_THRESHOLD = 2**31 - 1


def keep_heap() -> bool:
    """Never map a single block, never give memory back; return False if the library is not glibc.

    This holds for the entire process and cannot be undone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL("libc.so.6")
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, LARGEST_THRESHOLD))
    return all(library.mallopt(name, value) == 1 for name, value in settings)
