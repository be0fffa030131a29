"""Two rows on the same test images: how far apart they are, how sure, and what would settle it.

The model is that of `uncertainty`. The difference of two rows is a mean over images of paired
differences (each averaged over seeds); if the rows are equally good, its variance is

    Var = sum_i d_i^2 / N^2 + a (1 - a) (k_first^2 / S_first + k_second^2 / S_second)

d_i is the difference on image i, a the accuracy that both have, N and S images and seeds. For one
seed and k = 0 this is McNemar's test (1947) in its normal form. The seeds of the two rows count as
independent; equal seeds that move both rows the same way make the verdict cautious.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .uncertainty import CONTINUITY, SHARES, Array, Evidence, solve_reach, tail

POWER = 0.8
MAX_IMAGE_FACTOR = 1000
MAX_MORE_SEEDS = 100


class Remedy(NamedTuple):
    """What would show a difference of the size that was seen, with a chance of 80 %.

    Images without a further seed, seeds a row without a further image, or both; none where no
    number within a thousandfold of the images and a hundred seeds does.
    """

    images: int | None = None
    seeds: int | None = None
    both: tuple[int, int] | None = None


class Difference:
    """The first of two rows less the second, as fractions.

    Args:
        rows: Evidence of the first and of the second row.
        weights: (K, K) probability of each two shares of theirs (`SeedModel.of_pair`).
        paired: (N,) difference on each image, averaged over the seeds of each row.
    """

    def __init__(
        self, rows: tuple[Evidence, Evidence], weights: Array, paired: NDArray[np.float64]
    ) -> None:
        self.rows = rows
        self.num_images = len(paired)
        self.value = float(paired.mean())
        self._weights = weights
        self._images = float((paired**2).sum()) / self.num_images**2
        middle = (rows[0].mean + rows[1].mean) / 2
        # Of the accuracy that both have, if they are equally good.
        self._answer_variance = middle * (1 - middle) + CONTINUITY / self.num_images

    def variances(self, image_factor: float = 1.0, more_seeds: int = 0) -> Array:
        """(K, K) variance of the difference for each two shares, with more images or seeds."""
        fewer = [row.num_runs / (row.num_runs + more_seeds) for row in self.rows]
        noise = [row.noise_share * row.answer_variance / row.num_images for row in self.rows]
        gone = sum(part * (1 - share) for part, share in zip(noise, fewer, strict=True))
        images = max(self._images - gone, 0.0) / image_factor
        first, second = (
            SHARES**2 * share / row.num_runs for row, share in zip(self.rows, fewer, strict=True)
        )
        found: Array = images + self._answer_variance * (first[:, None] + second)
        return found

    @property
    def p_value(self) -> float:
        """Two-sided: the chance of a difference this large between equally good methods."""
        return min(tail(self.value, self.variances(), self._weights), 1.0)

    def reach(self, level: float) -> float:
        """The smallest difference that is shown at a level."""
        return solve_reach(self.variances(), self._weights, level)

    def is_settled(self, level: float, image_factor: float, more_seeds: int) -> bool:
        """Whether a true difference of the size seen would be shown in 80 % of studies.

        More images leave it as uncertain as it is how far seeds move the rows. More seeds measure
        that, so that the variance then counts as known.
        """
        variances = self.variances(image_factor, more_seeds)
        deviation = math.sqrt(float((self._weights * variances).sum()))
        if more_seeds:
            reach = float(-ndtri(level / 2)) * deviation
        else:
            reach = solve_reach(variances, self._weights, level)
        return abs(self.value) >= reach + float(ndtri(POWER)) * deviation

    def find_remedy(self, level: float) -> Remedy:
        """How many more images, or seeds, or both, would settle it."""
        images = smallest(self.image_steps(), lambda n: self.is_settled(level, self.factor(n), 0))
        seeds = smallest(range(1, MAX_MORE_SEEDS + 1), lambda s: self.is_settled(level, 1.0, s))
        if images is not None or seeds is not None:
            return Remedy(images, seeds)
        runs = max(row.num_runs for row in self.rows)
        both = smallest(
            range(1, MAX_MORE_SEEDS + 1), lambda s: self.is_settled(level, 1 + s / runs, s)
        )
        return Remedy() if both is None else Remedy(both=(round_up(self.more(both / runs)), both))

    def image_steps(self) -> list[int]:
        """Numbers of further images that are tried: two digits, up to the thousandfold."""
        factors = np.geomspace(0.01, MAX_IMAGE_FACTOR, 116)
        return sorted({round_up(self.more(float(factor))) for factor in factors})

    def more(self, share: float) -> int:
        """A share of the test images as a number, at least one."""
        return max(1, round(share * self.num_images))

    def factor(self, more_images: int) -> float:
        """By what the images grow."""
        return 1 + more_images / self.num_images


def smallest(values: Sequence[int], is_enough: Callable[[int], bool]) -> int | None:
    """The first of rising values that is enough, by halving; none if the last is not."""
    if not is_enough(values[-1]):
        return None
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(values[middle]) else (middle + 1, high)
    return values[low]


def round_up(count: int) -> int:
    """To one digit and a half above 10: 12 -> 15, 33 -> 35, 420 -> 450."""
    if count <= 10:
        return count
    step = int(10 ** (len(str(count)) - 1)) // 2
    steps: int = -(-count // step)
    return steps * step
