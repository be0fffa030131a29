"""Figures of the answers for one part: calibration, and the rates of two classes.

Of two classes one is positive: by default the second one, as in scikit-learn.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.numerics.answers import answer, scores_of, truths_of
from poc.shared.engine.numerics.calibration import calibration_error
from poc.shared.engine.numerics.class_metrics import class_figures
from poc.shared.engine.numerics.ranking import place
from poc.shared.engine.numerics.scores import log_odds
from poc.shared.engine.numerics.thresholds import AnswerCounts
from poc.shared.errors import UsageError
from poc.shared.spec.suggestions import likeliest

CALIBRATION, AREA = "expected_calibration_error", "area_under_roc"
ANSWERED, ANSWERED_ACCURACY = "answered_share", "answered_accuracy"


def find_positive(class_names: Sequence[str], name: str | None) -> int:
    """Return the position of the positive class: the named one, or the second.

    Raises:
        UsageError: There are not two classes, or none of them has this name.
    """
    if len(class_names) != 2:
        raise UsageError(
            f"Got a run of {len(class_names)} classes. Expected two classes, of which one is "
            "positive. Try `poc report`, which shows each class against the rest."
        )
    if name is None:
        return 1
    if name not in class_names:
        listed = " or ".join(map(repr, class_names))
        raise UsageError(
            f"Got --positive {name!r}. Expected a class of the run, {listed}. Try --positive "
            f"{likeliest(name, class_names)!r}."
        )
    return list(class_names).index(name)


def describe_answers(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    positive: int = 1,
) -> dict[str, object]:
    """Return the calibration error; of two classes also rates with intervals, and the ROC's area.

    Args:
        logits: (N, C); if they are not all finite, there are no figures.
        labels: (N,); with (N, C), any number of labels per image, there is the area alone, as mean
            over the labels.
        class_names: Classes in the order of the logits.
        positive: Position of the positive one of two classes.
    """
    if not np.isfinite(logits).all():
        return {}
    if labels.ndim == 2:
        return {AREA: mean_area(logits, labels)}
    found: dict[str, object] = {CALIBRATION: calibration_error(logits, labels)}
    if len(class_names) != 2:
        return found
    truths = labels == positive
    counts = AnswerCounts.of(logits.argmax(axis=1) == positive, truths)
    places = place(log_odds(logits, positive), truths)
    return found | {
        "positive_class": class_names[positive],
        **counts.describe(),
        AREA: places.area if places else None,
    }


def mean_area(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float | None:
    """Return the mean area under the ROC curve over the labels that some images have and some lack.

    Args:
        logits: (N, C).
        labels: (N, C), 1 for each label.
    """
    places = [
        place(scores_of(logits, position, is_multi_label=True), truths_of(labels, position))
        for position in range(labels.shape[1])
    ]
    known = [one.area for one in places if one is not None]
    return float(np.mean(known)) if known else None


def describe_classes(
    logits: NDArray[np.floating], labels: NDArray[np.int64], class_names: Sequence[str]
) -> list[dict[str, object]]:
    """Return precision, recall, F1 and number of images of each class; None if not defined.

    Args:
        logits: (N, C).
        labels: (N,), or (N, C) with any number of labels per image.
        class_names: Classes in the order of the logits.
    """
    answers = answer(logits, is_multi_label=labels.ndim == 2)
    figures = class_figures(labels, answers, len(class_names))
    shares = {name: getattr(figures, name) for name in ("precision", "recall", "f1")}
    return [
        {
            "class": class_names[place],
            **{name: known(values[place]) for name, values in shares.items()},
            "support": int(figures.support[place]),
        }
        for place in range(len(class_names))
    ]


def known(value: float) -> float | None:
    """Return a figure, or None in place of NaN, for JSON."""
    return None if np.isnan(value) else float(value)
