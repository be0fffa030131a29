"""More images or not: accuracies of the recommended settings on shares of the train part."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.statistics.uncertainty import SIGNIFICANCE, Prior, SeedModel, weigh_answers
from poc.shared.errors import UsageError

from .comparisons import Contest
from .results import LearningPoint
from .rows import NETWORK_SHARE, PAGE_SCATTER, ROW_SCATTER, Row

# A point has one network per seed.
PRIOR = Prior(NETWORK_SHARE, PAGE_SCATTER, ROW_SCATTER)


class Gain(NamedTuple):
    """The gain of the last step of a learning curve, with its 95 % interval."""

    num_before: int
    num_after: int
    difference: float
    low: float
    high: float
    is_shown: bool


class PlottedPoint(NamedTuple):
    """A point of the curve, with its 95 % interval."""

    num_images: int
    accuracy: float
    low: float
    high: float


def measure_curve(
    points: Sequence[LearningPoint], groups: NDArray[np.int64] | None, ids: Sequence[str]
) -> list[PlottedPoint]:
    """Return accuracies and intervals; arguments as in `measure_gain`, `groups` (N,)."""
    evidence = [weigh_answers(align(point, ids), groups) for point in points]
    model = SeedModel(evidence, PRIOR)
    return [
        PlottedPoint(point.num_images, own.mean, *model.interval(place))
        for place, (point, own) in enumerate(zip(points, evidence, strict=True))
    ]


def measure_gain(
    points: Sequence[LearningPoint], groups: NDArray[np.int64] | None, ids: Sequence[str]
) -> Gain | None:
    """Return the gain of the last step; None with fewer than two points.

    Args:
        points: The largest share last.
        groups: (N,) number of each image's group.
        ids: The N test images.
    """
    if len(points) < 2:
        return None
    rows = []
    for point in points:
        answers = align(point, ids)
        samples = tuple((0, seed) for seed in range(len(answers)))
        rows.append(Row(f"{point.share:g}", "", samples, answers, len(answers)))
    found = Contest(rows, groups, PRIOR).difference(rows[-1], rows[-2])
    reach = found.reach(SIGNIFICANCE)
    return Gain(
        points[-2].num_images,
        points[-1].num_images,
        found.value,
        max(found.value - reach, -1.0),
        min(found.value + reach, 1.0),
        found.p_value < SIGNIFICANCE and found.value > 0,
    )


def align(point: LearningPoint, ids: Sequence[str]) -> NDArray[np.float64]:
    """Return the answers (S, N) of a point in the order of the images.

    Raises:
        UsageError: The point was tested on other images.
    """
    rows = []
    for answers in point.answers:
        hits = dict(zip(answers.ids, answers.hits.tolist(), strict=True))
        if missing := set(ids) - hits.keys():
            raise UsageError(
                f"Got a learning curve whose point of {point.num_images:,} images was not tested "
                f"on {min(missing)!r}. Expected the same test images at each point. Try running it "
                "again."
            )
        rows.append([hits[name] for name in ids])
    return np.array(rows, dtype=np.float64)
