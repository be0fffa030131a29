"""The uncertainty of an accuracy: one model of the chance in the test images and the seeds.

The *accuracy of a method* is the expected share of right answers over images like the test images
and over seeds. The mean of a row varies around it for two reasons, whose variances add:

    Var(mean) = a (1 - a) (d / N + k^2 / S)

a is the accuracy, N the number of test images, S the number of seeds. d is the design effect (Kish
1965): all runs see the same images, which are therefore worth N / d independent answers. It is 1
for one run, and the correlation of two runs' answers for many runs. k is the standard deviation
that a seed adds to the accuracy of the trained network, in units of sqrt(a (1 - a)): k = 0.025 is
one point (sd) at an accuracy of 0.8, and means that one run is worth no more than 1 / k^2 = 1600
images, regardless of the number of images that it is tested on.

d is measured. k cannot be measured with few seeds, so the rows of a page borrow from each other and
from a prior, in two levels: a page has a middle k, lognormal around `MIDDLE_SHARE`, and the k of
its rows are lognormal around that middle. A row of S seeds contributes the variance s of its S
accuracies. With e the part of s that the images alone explain (the residual of a two-way analysis
of variance, images by runs, over N), (S - 1) s / (a (1 - a) k^2 + e) is chi-squared with S - 1
degrees of freedom. Sums over a grid of k give the posterior (variances are shrunk as in Smyth 2004,
minus the noise of the images). A row of one seed has the posterior that the other rows give, or the
prior. Given k, the mean is taken to be normal; the interval is Wilson's (1927) with z^2 / n
replaced, so that it is right near 0 and 1.

The assumptions are `MIDDLE_SHARE` and the two scatters. 23 rows of three seeds of this project's
own studies had a middle k of 0.024, from 0 to 0.09. With five seeds per row the assumptions hardly
matter; `benchmarks/verdicts.py` measures their cost with fewer seeds
(docs/results/2026-11-28-verdicts.md).
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from poc.shared.engine.numerics.metrics import Interval

SIGNIFICANCE = 0.05
MIDDLE_SHARE = 0.0275
"""Middle of the prior of a page's middle k."""
PAGE_SCATTER = 0.5
"""Standard deviation of the logarithm of a page's middle k."""
ROW_SCATTER = 0.4
"""Standard deviation of the logarithm of a row's k around the middle of its page."""
# The grid of k, (K,): from 0.08 to 10 points (sd) at an accuracy of 0.8.
SHARES = np.geomspace(0.002, 0.25, 24)
# Half an image, squared: keeps a variance off 0 if all answers agree.
CONTINUITY = 0.25

Array = NDArray[np.float64]


class Evidence(NamedTuple):
    """Statistics of the answers of one row.

    `noise` and `scatter` are variances of a run's accuracy in units of a (1 - a): the part that the
    images explain, and the observed variance. `noise_share` is the part of the design effect that
    more seeds remove.
    """

    mean: float
    num_images: int
    num_runs: int
    design_effect: float = 1.0
    noise_share: float = 0.0
    noise: float = 0.0
    scatter: float = 0.0

    @property
    def answer_variance(self) -> float:
        """Return the variance a (1 - a) of one answer, kept off 0."""
        return self.mean * (1 - self.mean) + CONTINUITY / self.num_images


def weigh_answers(answers: Array, groups: NDArray[np.int64] | None = None) -> Evidence:
    """Compute the evidence of the answers of S seeds on N images.

    Args:
        answers: (S, N), 1 for right, 0 for wrong; between them if a seed ran more than once.
        groups: (N,) number of each image's group, such as its patient, whose images may be right or
            wrong together; None counts the images as independent.
    """
    num_runs, num_images = answers.shape
    image_means, run_means = answers.mean(axis=0), answers.mean(axis=1)
    mean = float(run_means.mean())
    few = 1.0 if groups is None else widen_for_few(groups, SIGNIFICANCE)
    of_images = few * float((add_groups(image_means - mean, groups) ** 2).sum())
    unit = num_images * mean * (1 - mean) + CONTINUITY
    if num_runs == 1:
        effect = 1.0 if groups is None else (of_images + CONTINUITY) / unit
        return Evidence(mean, num_images, 1, design_effect=effect)
    of_runs = float(((run_means - mean) ** 2).sum()) / (num_runs - 1)
    # The two-way table, images by runs, without the means of both.
    left = answers - image_means - run_means[:, None] + mean
    rest = few * float((add_groups(left, groups) ** 2).sum()) / (num_runs - 1) + CONTINUITY
    return Evidence(
        mean,
        num_images,
        num_runs,
        design_effect=(of_images + CONTINUITY) / unit,
        noise_share=min(rest / num_runs, of_images) / unit,
        noise=rest / num_images / unit,
        scatter=of_runs * num_images / unit,
    )


def add_groups(values: Array, groups: NDArray[np.int64] | None) -> Array:
    """Add up the values of each group, so that their squares have the variance between groups.

    Args:
        values: (…, N), a value per image.
        groups: (N,) number of each image's group, from 0 on; None leaves the values unchanged.

    Returns:
        (…, G), or (…, N) without groups.
    """
    if groups is None:
        return values
    sums: Array = np.zeros((int(groups.max()) + 1, *values.shape[:-1]))
    np.add.at(sums, groups, np.moveaxis(values, -1, 0))
    return np.moveaxis(sums, 0, -1)


def widen_for_few(groups: NDArray[np.int64], level: float) -> float:
    """Return the factor that a variance from few groups needs: Student's law in place of normal.

    Groups of different sizes count as (sum n)^2 / sum n^2 equal ones.

    Args:
        groups: (N,) number of each image's group; there are at least two groups.
        level: Level at which Student's and the normal quantile are compared.
    """
    sizes = np.bincount(groups).astype(np.float64)
    # Two groups are the fewest from which a variance can be estimated.
    count = max(float(sizes.sum() ** 2 / (sizes**2).sum()), 2.0)
    student, normal = stdtrit(count - 1, 1 - level / 2), ndtri(1 - level / 2)
    return float((student / normal) ** 2 * count / (count - 1))


def weigh_accuracies(accuracies: Sequence[float], num_images: int) -> Evidence:
    """Compute the evidence of accuracies, one per seed, if the answers are not known.

    This is cautious: seeds do not reduce the variance of the images, and all of the observed
    variance between seeds is attributed to the seeds.
    """
    mean = float(np.mean(accuracies))
    if len(accuracies) == 1:
        return Evidence(mean, num_images, 1)
    scatter = float(np.var(accuracies, ddof=1)) + CONTINUITY / num_images**2
    unit = mean * (1 - mean) + CONTINUITY / num_images
    return Evidence(mean, num_images, len(accuracies), scatter=scatter / unit)


class Prior(NamedTuple):
    """Prior of k: the middle of a page's middle k, and the scatter of both logarithms."""

    middle: float = MIDDLE_SHARE
    page_scatter: float = PAGE_SCATTER
    row_scatter: float = ROW_SCATTER


class SeedModel:
    """Effect of seeds on each row of a page: the posterior over a grid of K shares k.

    Args:
        rows: Evidence of at least one row, all tested on the same data.
        prior: Assumption about k before the rows are seen.
    """

    def __init__(self, rows: Sequence[Evidence], prior: Prior | None = None) -> None:
        self.rows = tuple(rows)
        page_prior, row_priors = lay_out_prior(prior or Prior())
        joint = np.stack([row_priors * likelihood(row) for row in rows])
        totals = joint.sum(axis=2)
        # In logarithms: the product over many rows would underflow.
        page = np.log(page_prior) + np.log(totals).sum(axis=0)
        self._middles = np.exp(page - page.max())
        self._middles /= self._middles.sum()
        self._tables = joint / totals[:, :, None]

    def of_row(self, index: int) -> Array:
        """Return the (K,) probability of each share for a row."""
        weights: Array = self._middles @ self._tables[index]
        return weights

    def of_pair(self, first: int, second: int) -> Array:
        """Return the (K, K) probability of each pair of shares of two rows.

        The rows are independent only given the page's middle, so the sum runs over the middles.
        """
        weights: Array = (self._middles[:, None] * self._tables[first]).T @ self._tables[second]
        return weights

    def interval(self, index: int) -> Interval:
        """Return the 95 % interval of a row's accuracy."""
        row = self.rows[index]
        variances = row.design_effect / row.num_images + SHARES**2 / row.num_runs
        reach = solve_reach(variances, self.of_row(index), SIGNIFICANCE)
        return widen(row.mean, reach**2)

    def seed_deviation(self, index: int) -> float:
        """Return the posterior mean of the standard deviation over seeds, as a fraction."""
        share = float(self.of_row(index) @ SHARES)
        return share * math.sqrt(self.rows[index].answer_variance)


@cache
def lay_out_prior(prior: Prior) -> tuple[Array, Array]:
    """Return (M,) weights of a page's middle share, and (M, K) of a row's share per middle.

    The middles are on the grid of shares, so M = K.
    """
    logs = np.log(SHARES)
    page = normal_weights(logs, math.log(prior.middle), prior.page_scatter)
    return page, np.stack([normal_weights(logs, middle, prior.row_scatter) for middle in logs])


def normal_weights(values: Array, middle: float, deviation: float) -> Array:
    """Return the weights of a grid `values` (K,) under a normal law, (K,); they add to 1."""
    weights: Array = np.exp(-0.5 * ((values - middle) / deviation) ** 2)
    weights /= weights.sum()
    return weights


def likelihood(row: Evidence) -> Array:
    """Return the (K,) likelihood of each share, scaled so that the largest is 1.

    It is flat for a row of one seed.
    """
    expected = SHARES**2 + row.noise
    logs = -(row.num_runs - 1) / 2 * (np.log(expected) + row.scatter / expected)
    values: Array = np.exp(logs - logs.max())
    return values


def tail(distance: float, variances: Array, weights: Array) -> float:
    """Return the two-sided tail probability of a distance in a mixture of normal laws.

    Args:
        distance: Distance from the common middle.
        variances: Variance of each law, (K,) for a row, (K, K) for a difference.
        weights: Probability of each law, same shape.
    """
    return float((weights * 2 * ndtr(-abs(distance) / np.sqrt(variances))).sum())


def solve_reach(variances: Array, weights: Array, level: float) -> float:
    """Return the distance whose `tail` in this mixture is `level`.

    `variances` and `weights` are (K,) or (K, K), as for `tail`.
    """
    # Beyond 40 standard deviations the tail is 0 in float64, so the root lies below.
    high = 40 * math.sqrt(float(variances.max()))
    return float(brentq(lambda reach: tail(reach, variances, weights) - level, 0, high, xtol=1e-9))


def widen(mean: float, weight: float) -> Interval:
    """Return all a with (mean - a)^2 <= weight * a (1 - a): Wilson's, if weight is z^2 / n."""
    centre = (mean + weight / 2) / (1 + weight)
    half = math.sqrt(mean * (1 - mean) * weight + weight**2 / 4) / (1 + weight)
    # Rounding may put an end on the wrong side of the mean, or outside of 0 to 1, by one last bit.
    return Interval(max(min(centre - half, mean), 0.0), min(max(centre + half, mean), 1.0))
