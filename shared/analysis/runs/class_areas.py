"""Areas under the curves of each class against the rest, as means over a row's runs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.numerics.ranking import average_precision, place, precision_recall_curve
from poc.shared.engine.numerics.scores import all_log_odds

from .groups import Group
from .predictions import Predictions

# Above so many probabilities in one run, the ranking of each class takes too long for a page.
MAX_PROBABILITIES = 20_000_000
Areas = NDArray[np.float64]


class ClassAreas(NamedTuple):
    """Areas (C,) each; NaN for a class without test images, or with all of them."""

    roc: Areas
    precision: Areas

    def of(self, *, is_roc: bool) -> Areas:
        """Return the areas (C,) of one kind of curve."""
        return self.roc if is_roc else self.precision

    def least(self, *, is_roc: bool) -> list[int]:
        """Return the positions of the classes that have an area, the smallest first."""
        values = self.of(is_roc=is_roc)
        return [int(index) for index in np.argsort(values, kind="stable") if values[index] >= 0]


def class_areas(group: Group) -> ClassAreas | None:
    """Return the mean areas over the runs; None without answers, or with too many of them."""
    tested = [run.predictions for run in group.runs if run.predictions is not None]
    if not tested or max(item.logits.size for item in tested) > MAX_PROBABILITIES:
        return None
    # Runs on other images may lack other classes, so that NaN of one makes the mean NaN.
    found = np.mean([measure(item) for item in tested], axis=0)
    return None if np.isnan(found).all() else ClassAreas(found[0], found[1])


def measure(item: Predictions) -> Areas:
    """Return the areas (2, C) of one run: under ROC, and the average precision."""
    areas = np.full((2, item.logits.shape[1]), np.nan)
    # All at once, since each class by itself would take the exponentials again.
    table = item.logits.astype(np.float64) if item.is_multi_label else all_log_odds(item.logits)
    for position, scores in enumerate(table.T):
        truths = item.truths(position)
        places, curve = place(scores, truths), precision_recall_curve(scores, truths)
        if places is not None and curve is not None:
            areas[:, position] = places.area, average_precision(curve)
    return areas
