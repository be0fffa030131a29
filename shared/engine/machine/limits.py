"""Limits for files that somebody else wrote: bytes, kinds of numbers, time of the reader."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from poc.shared.data.sources.npz import MAX_BYTES, MAX_EXPANSION

# NumPy's letters for truth values, integers and floats.
NUMBER_KINDS = "buif"
# Far below the speed of any disk, so that only a reader that hangs meets the limit.
SECONDS_AT_LEAST = 60
BYTES_A_SECOND = 4_000_000


class Budget:
    """Bytes that a file may unpack to: a fixed factor of its size, below a fixed maximum.

    Args:
        file_bytes: Size of the file on the disk, in bytes.
    """

    def __init__(self, file_bytes: int) -> None:
        self._left = min(MAX_BYTES, MAX_EXPANSION * max(file_bytes, 1))

    def take(self, name: str, num_bytes: int) -> None:
        """Take bytes from the budget.

        Raises:
            ValueError: Less than that is left.
        """
        if num_bytes > self._left:
            raise ValueError(f"{name!r} unpacks to {num_bytes:,} bytes")
        self._left -= num_bytes


@contextmanager
def bounded_time(path: Path) -> Iterator[None]:
    """End this process if a reader takes longer than any sound file needs.

    The system ends it by a signal, since a reader that hangs in compiled code never returns to
    Python.
    """
    size = path.stat().st_size if path.is_file() else 0
    former = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS_AT_LEAST + size // BYTES_A_SECOND)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
