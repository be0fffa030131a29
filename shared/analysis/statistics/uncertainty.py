"""How sure an accuracy is: one model of what the test images and the seeds add to chance.

The *accuracy of a method* is the share of right answers to be expected over images like the test
images and over seeds. The mean of a row moves around it for two reasons, whose variances add:

    Var(mean) = a (1 - a) (d / N + k^2 / S)

a is the accuracy, N the test images, S the seeds. d is the design effect (Kish 1965): all runs see
the same images, which therefore tell as much as N / d independent answers. It is 1 for one run, and
for many runs the correlation of two runs' answers. k is how far a seed moves the accuracy of the
trained network, in units of sqrt(a (1 - a)): k = 0.025 is one point (sd) at an accuracy of 0.8, and
says that one run tells no more than 1 / k^2 = 1600 images do, on however many it is tested.

d is measured. k cannot be measured with few seeds, so that the rows of a page borrow from each
other and from a prior, in two levels: a page has a middle k, lognormal around `MIDDLE_SHARE`, and
the k of its rows are lognormal around that middle. A row of S seeds speaks through the variance s
of its S accuracies. With e the part of it that the images alone explain (the rest of a two-way
analysis of variance, images by runs, over N), (S - 1) s / (a (1 - a) k^2 + e) is chi-squared with
S - 1 degrees of freedom. Sums over a grid of k give the posterior (variances are shrunk as in Smyth
2004, with the noise of the images taken off). A row of one seed has the posterior that the other
rows lend it, or the prior. Given k the mean is taken to be normal; the interval is Wilson's (1927)
with z^2 / n replaced, so that it is right near 0 and 1.

What is assumed: `MIDDLE_SHARE` and the two scatters. 23 rows of three seeds of this project's own
studies had a middle k of 0.024, from 0 to 0.09. With five seeds a row the assumption hardly counts;
`benchmarks/verdicts.py` measures what it costs with fewer (docs/results/2026-11-28-verdicts.md).
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from poc.shared.engine.numerics.metrics import Interval

SIGNIFICANCE = 0.05
MIDDLE_SHARE = 0.0275
PAGE_SCATTER = 0.5
"""Standard deviation of the logarithm of a page's middle k."""
ROW_SCATTER = 0.4
"""The same of a row's k around the middle of its page."""
SHARES = np.geomspace(0.002, 0.25, 24)
# Half an image, squared: keeps a variance off 0 where all answers agree.
CONTINUITY = 0.25

Array = NDArray[np.float64]


class Evidence(NamedTuple):
    """What the answers of one row say.

    `noise` and `scatter` are variances of a run's accuracy in units of a (1 - a): what the images
    explain, and what was seen. `noise_share` is the part of the design effect that more seeds take
    away.
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
        """Variance a (1 - a) of one answer, kept off 0."""
        return self.mean * (1 - self.mean) + CONTINUITY / self.num_images


def weigh_answers(answers: Array) -> Evidence:
    """Evidence of the answers of S seeds on N images.

    Args:
        answers: (S, N), 1 where right, 0 where wrong; between them where a seed ran more than once.
    """
    num_runs, num_images = answers.shape
    image_means, run_means = answers.mean(axis=0), answers.mean(axis=1)
    mean = float(run_means.mean())
    total = float(((answers - mean) ** 2).sum()) / num_runs
    of_images = float(((image_means - mean) ** 2).sum())
    if num_runs == 1:
        return Evidence(mean, num_images, 1)
    of_runs = float(((run_means - mean) ** 2).sum()) / (num_runs - 1)
    rest = num_runs * (total - of_images) - num_images * of_runs * (num_runs - 1)
    rest = max(rest, 0.0) / (num_runs - 1) + CONTINUITY
    unit = num_images * mean * (1 - mean) + CONTINUITY
    return Evidence(
        mean,
        num_images,
        num_runs,
        design_effect=(of_images + CONTINUITY) / unit,
        noise_share=min(rest / num_runs, of_images) / unit,
        noise=rest / num_images / unit,
        scatter=of_runs * num_images / unit,
    )


def weigh_accuracies(accuracies: Sequence[float], num_images: int) -> Evidence:
    """Evidence of accuracies alone, one a seed, where the answers are not known.

    Cautious: no seed takes anything off the variance of the images, and all that is seen between
    seeds is theirs.
    """
    mean = float(np.mean(accuracies))
    if len(accuracies) == 1:
        return Evidence(mean, num_images, 1)
    scatter = float(np.var(accuracies, ddof=1)) + CONTINUITY / num_images**2
    unit = mean * (1 - mean) + CONTINUITY / num_images
    return Evidence(mean, num_images, len(accuracies), scatter=scatter / unit)


class SeedModel:
    """How far seeds move each row of a page: the posterior over a grid of K shares k.

    Args:
        rows: At least one, all tested on the same data.
    """

    def __init__(self, rows: Sequence[Evidence]) -> None:
        self.rows = tuple(rows)
        page_prior, row_priors = lay_out_prior()
        joint = np.stack([row_priors * likelihood(row) for row in rows])
        totals = joint.sum(axis=2)
        page = np.log(page_prior) + np.log(totals).sum(axis=0)
        self._middles = np.exp(page - page.max())
        self._middles /= self._middles.sum()
        self._tables = joint / totals[:, :, None]

    def of_row(self, index: int) -> Array:
        """(K,) probability of each share."""
        weights: Array = self._middles @ self._tables[index]
        return weights

    def of_pair(self, first: int, second: int) -> Array:
        """(K, K) probability of each two shares of two rows."""
        weights: Array = (self._middles[:, None] * self._tables[first]).T @ self._tables[second]
        return weights

    def interval(self, index: int) -> Interval:
        """95 % interval of a row's accuracy."""
        row = self.rows[index]
        variances = row.design_effect / row.num_images + SHARES**2 / row.num_runs
        reach = solve_reach(variances, self.of_row(index), SIGNIFICANCE)
        return widen(row.mean, reach**2)

    def seed_deviation(self, index: int) -> float:
        """Standard deviation over seeds of a row's accuracy, as a fraction: the posterior mean."""
        share = float(self.of_row(index) @ SHARES)
        return share * math.sqrt(self.rows[index].answer_variance)


@cache
def lay_out_prior() -> tuple[Array, Array]:
    """(M,) weights of a page's middle share, and (M, K) of a row's share for each middle."""
    logs = np.log(SHARES)
    page = normal_weights(logs, math.log(MIDDLE_SHARE), PAGE_SCATTER)
    return page, np.stack([normal_weights(logs, middle, ROW_SCATTER) for middle in logs])


def normal_weights(values: Array, middle: float, deviation: float) -> Array:
    """Weights of a grid under a normal law; they add to 1."""
    weights: Array = np.exp(-0.5 * ((values - middle) / deviation) ** 2)
    weights /= weights.sum()
    return weights


def likelihood(row: Evidence) -> Array:
    """(K,) likelihood of each share, the largest 1; flat of one seed."""
    expected = SHARES**2 + row.noise
    logs = -(row.num_runs - 1) / 2 * (np.log(expected) + row.scatter / expected)
    values: Array = np.exp(logs - logs.max())
    return values


def tail(distance: float, variances: Array, weights: Array) -> float:
    """Probability of a distance from the middle that large, in a mixture of normal laws."""
    return float((weights * 2 * ndtr(-abs(distance) / np.sqrt(variances))).sum())


def solve_reach(variances: Array, weights: Array, level: float) -> float:
    """The distance beyond which such a mixture has the probability `level`."""
    high = 40 * math.sqrt(float(variances.max()))
    return float(brentq(lambda reach: tail(reach, variances, weights) - level, 0, high, xtol=1e-9))


def widen(mean: float, weight: float) -> Interval:
    """All a with (mean - a)^2 <= weight * a (1 - a): Wilson's interval where weight is z^2 / n."""
    centre = (mean + weight / 2) / (1 + weight)
    half = math.sqrt(mean * (1 - mean) * weight + weight**2 / 4) / (1 + weight)
    # Rounding may put an end a last bit inside the mean, or outside of 0 to 1.
    return Interval(max(min(centre - half, mean), 0.0), min(max(centre + half, mean), 1.0))
