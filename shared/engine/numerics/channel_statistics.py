"""The channel-selection statistic of the L2T-ww study, in one pass over the images.

For a map of height H, width W and C channels:

    A[l, i, j, c]: mean activation at pixel (i, j) over the images of label l
    s[i, j, c]:    standard deviation of A over the labels (population)
    score[c]:      mean of s over the pixels

Only sums and counts are kept, so memory does not grow with the number of images, and statistics of
shards are merged by adding them. A label without images is left out; one image is enough.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError


class ChannelStatistic:
    """Sums and counts of one tapped map; float64 throughout.

    Args:
        num_labels: Number of labels that may occur.
        shape: (H, W, C) of the map.
    """

    def __init__(self, num_labels: int, shape: tuple[int, ...]) -> None:
        self.counts = np.zeros(num_labels, dtype=np.int64)
        self.sums = np.zeros((num_labels, *shape))

    def add(self, maps: NDArray[np.floating], labels: NDArray[np.int64]) -> None:
        """Add a batch: maps (N, H, W, C), labels (N,)."""
        for label in np.unique(labels):
            chosen = maps[labels == label]
            self.counts[label] += len(chosen)
            self.sums[label] += chosen.sum(0, dtype=np.float64)

    def merge(self, other: Self) -> None:
        """Add another shard's sums and counts."""
        self.counts += other.counts
        self.sums += other.sums

    def scores(self) -> NDArray[np.float64]:
        """Return the statistic of every channel, (C,).

        Raises:
            UsageError: Fewer than two labels have images.
        """
        present = np.flatnonzero(self.counts)
        if len(present) < 2:
            raise UsageError(
                f"Got images of {len(present)} label(s) for the channel statistic, which compares "
                "labels. Expected two or more labels. Try a split that trains on two classes."
            )
        # Two passes over the labels, one label at a time: no copy of the sums.
        mean = sum(self.sums[i] / self.counts[i] for i in present) / len(present)
        squares = sum((self.sums[i] / self.counts[i] - mean) ** 2 for i in present)
        deviation: NDArray[np.float64] = np.sqrt(squares / len(present))
        scores: NDArray[np.float64] = deviation.mean((0, 1))
        return scores


def top_channels(scores: NDArray[np.floating], count: int) -> list[int]:
    """Return indices of the `count` largest `scores` (C,), in rising order.

    Of equal scores, the lower index wins.
    """
    # A stable sort breaks ties in the same way on every machine.
    ranking = np.argsort(-scores, kind="stable")
    return sorted(int(index) for index in ranking[:count])


def add_all(
    statistics: dict[str, ChannelStatistic],
    maps: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.int64],
    num_labels: int,
) -> None:
    """Add a batch of maps, tap -> (N, H, W, C), with labels (N,); a new tap starts at zero."""
    for tap, value in maps.items():
        if tap not in statistics:
            statistics[tap] = ChannelStatistic(num_labels, value.shape[1:])
        statistics[tap].add(value, labels)
