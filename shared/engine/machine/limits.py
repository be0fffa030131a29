"""Limits for files that somebody else wrote: bytes, kinds of numbers, time of their reader."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from poc.shared.data.sources.npz import MAX_BYTES, MAX_EXPANSION

# NumPy's letters for truth values, integers and floats.
NUMBER_KINDS = "buif"
SECONDS_AT_LEAST = 60
BYTES_A_SECOND = 4_000_000


class Budget:
    """How many bytes a file may become: a fixed factor of its size, and never more than memory has.

    Args:
        file_bytes: Its size as it stands there.
    """

    def __init__(self, file_bytes: int) -> None:
        self._left = min(MAX_BYTES, MAX_EXPANSION * max(file_bytes, 1))

    def take(self, name: str, num_bytes: int) -> None:
        """Use some of it.

        Raises:
            ValueError: So much is not left.
        """
        if num_bytes > self._left:
            raise ValueError(f"{name!r} unpacks to {num_bytes:,} bytes")
        self._left -= num_bytes


@contextmanager
def bounded_time(path: Path) -> Iterator[None]:
    """End this process where a reader takes longer than any sound file needs.

    The system does it: a reader that hangs in compiled code would never let Python answer.
    """
    size = path.stat().st_size if path.is_file() else 0
    former = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS_AT_LEAST + size // BYTES_A_SECOND)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
