"""The cut of a batch among processes that train one run together."""

from dataclasses import dataclass

import numpy as np

from poc.shared.data.sources.base import Indices


@dataclass(frozen=True)
class Shard:
    """The share of every batch that a process of a data-parallel run reads."""

    index: int = 0
    count: int = 1

    def part(self, size: int) -> range:
        """Return the places of this process in a batch; parts differ by at most one example.

        The first processes have the larger parts. A batch that is smaller than the number of
        processes leaves some of them without an example.
        """
        smallest, rest = divmod(size, self.count)
        first = self.index * smallest + min(self.index, rest)
        return range(first, first + smallest + (self.index < rest))

    def read(self, size: int) -> Indices:
        """Return the places (N,) int64 that this process reads: its part, or a stand-in.

        A process without an example reads the batch's first one, since layers and kernels want at
        least one. The results of a stand-in count nothing.
        """
        part = self.part(size)
        return np.arange(part.start, part.stop) if part else np.zeros(1, dtype=np.int64)


# All of every batch: the share of a process that trains alone.
WHOLE = Shard()
