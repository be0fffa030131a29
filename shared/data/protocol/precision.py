"""The precision of a study before it begins: the width of an interval, the smallest difference.

An accuracy a over N test images and S runs varies with the variance (docs/report.md)

    a (1 - a) (d / N + k^2 / S)

d is the design effect of groups, 1 + (m - 1) r (Kish 1965): m is the mean size of the group of an
image and r the correlation of two answers in a group. The difference of two methods, which disagree
on a share q of the images, varies with q d / N + 2 a (1 - a) k^2 / S. a, q, r and k are unknown
before the study. The constants below are assumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

ACCURACY = 0.8
DISAGREEMENT = 0.15
GROUP_CORRELATION = 0.2
SEED_SHARE = 0.04
"""The k of a network; a test compares it with that of the decision."""
NORMAL = NormalDist()
# Of an interval of 95 %, and of a test that shows a true difference in four studies of five.
Z_95, Z_80 = NORMAL.inv_cdf(0.975), NORMAL.inv_cdf(0.8)


@dataclass(frozen=True)
class Precision:
    """The expected precision of a study.

    `num_runs` counts the runs of each finalist; `group_size` is the mean size of an image's group.
    """

    num_images: int
    num_runs: int
    group_size: float = 1.0

    @property
    def design_effect(self) -> float:
        """Return the factor by which groups increase the variance of the images."""
        return 1 + (self.group_size - 1) * GROUP_CORRELATION

    @property
    def half_width(self) -> float:
        """Return the expected half width of the 95 % interval of an accuracy."""
        images = self.design_effect / self.num_images
        return Z_95 * math.sqrt(
            ACCURACY * (1 - ACCURACY) * (images + SEED_SHARE**2 / self.num_runs)
        )

    @property
    def smallest_shown(self) -> float:
        """Return the smallest true difference that four studies of five would show."""
        images = DISAGREEMENT * self.design_effect / self.num_images
        seeds = 2 * ACCURACY * (1 - ACCURACY) * SEED_SHARE**2 / self.num_runs
        return (Z_95 + Z_80) * math.sqrt(images + seeds)


def images_needed(difference: float, group_size: float = 1.0) -> int:
    """Return the test images that show a true difference, if enough seeds are run."""
    design_effect = Precision(1, 1, group_size).design_effect
    return math.ceil(((Z_95 + Z_80) / difference) ** 2 * DISAGREEMENT * design_effect)


def mean_group_size(sizes: Sequence[int]) -> float:
    """Return the mean size of the group that an image is in, from the sizes of all groups."""
    return sum(size**2 for size in sizes) / sum(sizes)
