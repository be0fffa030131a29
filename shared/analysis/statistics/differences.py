"""The difference of two rows on the same test images: its size, its p value and its remedy.

The model is that of `uncertainty`. The difference of two rows is a mean over images of paired
differences (each averaged over seeds); if the rows are equally good, its variance is

    Var = sum_i d_i^2 / N^2 + a (1 - a) (k_first^2 / S_first + k_second^2 / S_second)

d_i is the difference on image i (with groups, its sum over the images of group i), a the accuracy
that both have, N and S the numbers of images and seeds. For one seed and k = 0 this is McNemar's
test (1947) in its normal form. The seeds of the two rows count as independent; if equal seeds move
both rows the same way, the verdict is cautious.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .uncertainty import (
    CONTINUITY,
    SHARES,
    Array,
    Evidence,
    add_groups,
    solve_reach,
    tail,
    widen_for_few,
)

# The chance with which a remedy shows a true difference: "four studies of five".
POWER = 0.8
# Level at which few groups widen a difference; Holm's rule judges several pairs near it.
FEW_GROUPS_LEVEL = 0.01
# Beyond these, a remedy is reported as out of reach.
MAX_IMAGE_FACTOR = 1000
MAX_MORE_SEEDS = 100


class Remedy(NamedTuple):
    """Numbers that show a true difference of the observed size with a chance of 80 %.

    `images` are further images without further seeds, `seeds` are further seeds per row without
    further images; `both`, further images and seeds, is set only if neither alone is enough. Each
    is None if no number up to 1000 times the images and 100 more seeds is enough.
    """

    images: int | None = None
    seeds: int | None = None
    both: tuple[int, int] | None = None


class Difference:
    """The accuracy of the first of two rows minus that of the second, as a fraction.

    Args:
        rows: Evidence of the first and of the second row.
        weights: (K, K) probability of each pair of their shares k (`SeedModel.of_pair`).
        paired: (N,) difference on each image, averaged over the seeds of each row.
        groups: (N,) number of each image's group; None counts the images as independent.
    """

    def __init__(
        self,
        rows: tuple[Evidence, Evidence],
        weights: Array,
        paired: NDArray[np.float64],
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows = rows
        self.num_images = len(paired)
        self.value = float(paired.mean())
        self._weights = weights
        few = 1.0 if groups is None else widen_for_few(groups, FEW_GROUPS_LEVEL)
        self._images = few * float((add_groups(paired, groups) ** 2).sum()) / self.num_images**2
        middle = (rows[0].mean + rows[1].mean) / 2
        # a (1 - a) of the accuracy that both rows have if they are equally good, kept off 0.
        self._answer_variance = middle * (1 - middle) + CONTINUITY / self.num_images

    def variances(self, image_factor: float = 1.0, more_seeds: int = 0) -> Array:
        """Return the (K, K) variance of the difference for each pair of shares.

        Args:
            image_factor: Number of images over the present number.
            more_seeds: Further seeds of each row.
        """
        fewer = [row.num_runs / (row.num_runs + more_seeds) for row in self.rows]
        noise = [row.noise_share * row.answer_variance / row.num_images for row in self.rows]
        # More seeds average away the part of the images' variance that differs between seeds.
        gone = sum(part * (1 - share) for part, share in zip(noise, fewer, strict=True))
        images = max(self._images - gone, 0.0) / image_factor
        first, second = (
            SHARES**2 * share / row.num_runs for row, share in zip(self.rows, fewer, strict=True)
        )
        found: Array = images + self._answer_variance * (first[:, None] + second)
        return found

    @property
    def p_value(self) -> float:
        """Return the two-sided p value: the chance of such a difference of equally good rows."""
        return min(tail(self.value, self.variances(), self._weights), 1.0)

    def reach(self, level: float) -> float:
        """Return the smallest difference that is significant at a level."""
        return solve_reach(self.variances(), self._weights, level)

    def is_settled(self, level: float, image_factor: float, more_seeds: int) -> bool:
        """Return whether a true difference of the observed size would be shown in 80 % of studies.

        More images do not reduce the uncertainty about the effect of seeds. More seeds measure
        this effect, so with them the variance counts as known.
        """
        variances = self.variances(image_factor, more_seeds)
        deviation = math.sqrt(float((self._weights * variances).sum()))
        if more_seeds:
            reach = float(-ndtri(level / 2)) * deviation
        else:
            reach = solve_reach(variances, self._weights, level)
        return abs(self.value) >= reach + float(ndtri(POWER)) * deviation

    def find_remedy(self, level: float) -> Remedy:
        """Find how many more images, or seeds, or both, would settle the comparison.

        Numbers of both are only tried if neither more images nor more seeds alone are enough.
        """
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
        """List the rounded numbers of further images to try, up to 1000 times the present one."""
        factors = np.geomspace(0.01, MAX_IMAGE_FACTOR, 116)
        return sorted({round_up(self.more(float(factor))) for factor in factors})

    def more(self, share: float) -> int:
        """Convert a share of the test images to a number, at least one."""
        return max(1, round(share * self.num_images))

    def factor(self, more_images: int) -> float:
        """Return the factor by which further images increase their number."""
        return 1 + more_images / self.num_images


def smallest(values: Sequence[int], is_enough: Callable[[int], bool]) -> int | None:
    """Return the first of rising values that is enough, by bisection; None if the last is not.

    Args:
        values: Rising values, at least one.
        is_enough: A condition that holds for all values above one that fulfils it.
    """
    if not is_enough(values[-1]):
        return None
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(values[middle]) else (middle + 1, high)
    return values[low]


def round_up(count: int) -> int:
    """Round a count above 10 up to a multiple of half its leading power of ten.

    12 -> 15, 33 -> 35, 420 -> 450.
    """
    if count <= 10:
        return count
    step = int(10 ** (len(str(count)) - 1)) // 2
    steps: int = -(-count // step)
    return steps * step
