"""`poc calibrate`: fit a temperature, and choose a threshold or a least confidence.

Both are fitted on the validation part alone.
The test part is measured before and after, and decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.predictions import Predictions, read_predictions
from poc.shared.analysis.runs.validation_answers import (
    check_enough,
    check_independent,
    name_val_share,
    read_finished,
    read_validation,
)
from poc.shared.engine.folder.decision import (
    CHECKPOINT,
    FORMAT,
    Decision,
    FittedOn,
    Rejection,
    Threshold,
    digest_checkpoint,
    write_decision,
)
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS, now
from poc.shared.engine.numerics.calibration import calibration_error, fit_temperature
from poc.shared.engine.numerics.metrics import log_softmax
from poc.shared.engine.numerics.rejection import confidence_for_accuracy, confidence_for_share
from poc.shared.engine.numerics.scores import confidence_of, log_odds, to_probability
from poc.shared.engine.numerics.thresholds import (
    AnswerCounts,
    threshold_for_costs,
    threshold_for_sensitivity,
)
from poc.shared.engine.summary.answer_columns import (
    ANSWERED,
    ANSWERED_ACCURACY,
    CALIBRATION,
    find_positive,
)
from poc.shared.errors import UsageError
from poc.shared.files.collisions import digest_file


class Costs(NamedTuple):
    """Costs of one error of each kind."""

    false_positive: float
    false_negative: float


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The wished rule of a threshold or of a least confidence; at most one.

    Attributes:
        sensitivity: Of a threshold between two classes, above 0 and below 1.
        costs: Costs that such a threshold minimises.
        answered_accuracy: Share of right answers among those that are given, above 0 and below 1.
        answered_share: Share of the images that are answered, above 0 and below 1.
        positive: Positive one of two classes.
    """

    sensitivity: float | None = None
    costs: Costs | None = None
    answered_accuracy: float | None = None
    answered_share: float | None = None
    positive: str | None = None

    @property
    def needs_two_classes(self) -> bool:
        """Return whether the wish is about a positive class."""
        return (self.sensitivity, self.costs, self.positive) != (None, None, None)

    @property
    def has_positive_alone(self) -> bool:
        """Return whether a positive class is named without a threshold that would store it."""
        return self.positive is not None and self.sensitivity is None and self.costs is None


def read_costs(text: str) -> Costs:
    """Read `FP,FN`.

    Raises:
        UsageError: They are not two numbers.
    """
    try:
        false_positive, false_negative = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"Got --costs {text!r}. Expected two numbers with a comma, the cost of a false "
            "positive and that of a false negative. Try --costs 1,5."
        ) from None
    return Costs(false_positive, false_negative)


def calibrate_folder(folder: Path, wish: Wish, *, command: str) -> Decision:
    """Fit the decision of a run, write it into its folder, and return it.

    Args:
        folder: Run folder.
        wish: Rule of the threshold or of the least confidence, if one is wished.
        command: The command line, for the record.

    Raises:
        UsageError: The run has not finished, keeps no validation answers, was validated on test
            images, has too few validation images, or has other than two classes for a threshold.
    """
    check_rule(wish)
    record = read_finished(folder)
    names = record.class_names
    validation = read_validation(record)
    is_binary = len(names) == 2 or wish.needs_two_classes
    position = find_positive(names, wish.positive) if is_binary else None
    test = read_predictions(folder, len(names))
    check_independent(validation, test)
    val_share = name_val_share(record)
    check_enough(validation, names, position, val_share)
    temperature = fit_temperature(validation.logits, validation.labels)
    scale = 1.0 if temperature is None else temperature
    threshold = None
    if position is not None:
        threshold = choose_threshold(validation, names, position, scale, wish)
        if wish.sensitivity is not None:
            count = int((validation.labels == position).sum())
            check_positives(count, names[position], wish.sensitivity, val_share)
    decision = Decision(
        format=FORMAT,
        written=now(),
        command=command,
        class_names=list(names),
        checkpoint=CHECKPOINT,
        checkpoint_sha256=digest_checkpoint(folder),
        fitted_on=describe_source(folder, validation, names),
        temperature=scale,
        is_temperature_fitted=temperature is not None,
        threshold=threshold,
        rejection=choose_rejection(validation, scale, wish),
    )
    figures = compare_parts(decision, validation, test, position)
    decision = decision.model_copy(update={"figures": figures})
    write_decision(folder, decision)
    return decision


def check_rule(wish: Wish) -> None:
    """Refuse two rules at a time.

    Raises:
        UsageError: More than one is given.
    """
    given = {
        "--sensitivity": wish.sensitivity,
        "--costs": wish.costs,
        "--answered-accuracy": wish.answered_accuracy,
        "--answered-share": wish.answered_share,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(
            f"Got {' and '.join(names)}. Expected one rule, for a threshold or for a least "
            f"confidence. Try {names[0]} alone."
        )


def describe_source(folder: Path, validation: Predictions, names: Sequence[str]) -> FittedOn:
    """Describe the answers that a decision is fitted on."""
    counts = np.bincount(validation.labels, minlength=len(names)).tolist()
    return FittedOn(
        part="val",
        file=VALIDATION_PREDICTIONS,
        sha256=digest_file(folder / VALIDATION_PREDICTIONS),
        images=len(validation.labels),
        images_per_class=dict(zip(names, counts, strict=True)),
    )


def choose_threshold(
    validation: Predictions, names: Sequence[str], position: int, temperature: float, wish: Wish
) -> Threshold | None:
    """Choose the threshold on the validation part; None if no rule is wished."""
    scores = log_odds(validation.logits.astype(np.float64) / temperature, position)
    truths = validation.labels == position
    positive = names[position]
    if wish.sensitivity is not None:
        found = threshold_for_sensitivity(scores, truths, wish.sensitivity)
        rule = {"rule": "sensitivity", "sensitivity": wish.sensitivity}
    elif wish.costs is not None:
        found = threshold_for_costs(scores, truths, *wish.costs)
        rule = {
            "rule": "costs",
            "false_positive_cost": wish.costs.false_positive,
            "false_negative_cost": wish.costs.false_negative,
        }
    else:
        return None
    place = {"positive": positive, "log_odds": found, "probability": to_probability(found)}
    return Threshold.model_validate({**rule, **place})


def choose_rejection(validation: Predictions, temperature: float, wish: Wish) -> Rejection | None:
    """Choose the least confidence on the validation part; None if no rule is wished.

    Raises:
        UsageError: The wished share is out of range, or no confidence reaches the accuracy.
    """
    confidences = confidence_of(validation.logits.astype(np.float64) / temperature)
    if wish.answered_accuracy is not None:
        found = confidence_for_accuracy(confidences, validation.hits, wish.answered_accuracy)
        rule: dict[str, object] = {"rule": "accuracy", "share": wish.answered_accuracy}
    elif wish.answered_share is not None:
        found = confidence_for_share(confidences, validation.hits, wish.answered_share)
        rule = {"rule": "answered", "share": wish.answered_share}
    else:
        return None
    place = {"log_odds": found, "probability": to_probability(found)}
    return Rejection.model_validate({**rule, **place})


def check_positives(count: int, positive: str, sensitivity: float, val_share: str) -> None:
    """Refuse a sensitivity that so many images cannot tell from 1.

    Raises:
        UsageError: Even one missed image would be too many.
    """
    needed = int(np.ceil(round(1 / (1 - sensitivity), 9)))
    if count < needed:
        raise UsageError(
            f"Got {count} validation images of {positive!r} for a sensitivity of {sensitivity:g}. "
            f"Expected at least {needed}, so that one may be missed. Try a lower sensitivity, or a "
            f"larger {val_share}."
        )


def compare_parts(
    decision: Decision, validation: Predictions, test: Predictions | None, position: int | None
) -> dict[str, object]:
    """Return the figures of each part before and after the decision."""
    parts = {"validation": validation, **({"test": test} if test else {})}
    nothing = {"temperature": 1.0, "threshold": None, "rejection": None}
    plain = decision.model_copy(update=nothing)
    return {
        part: {
            "images": len(answers.labels),
            "before": measure(plain, answers.logits, answers.labels, position),
            "after": measure(decision, answers.logits, answers.labels, position),
        }
        for part, answers in parts.items()
    }


def measure(
    decision: Decision,
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    position: int | None,
) -> dict[str, float | None]:
    """Return loss, calibration error, accuracy and, with a positive class, rates of one part.

    With a least confidence, the share that is answered and the accuracy of these answers too; the
    other figures are of all images.

    Args:
        decision: Gives the temperature, the threshold and the least confidence.
        logits: (N, C), not yet scaled.
        labels: (N,).
        position: Position of the positive class.
    """
    scaled, answered = decision.scale(logits), decision.answer(logits)
    losses = -log_softmax(scaled)[np.arange(len(labels)), labels]
    found: dict[str, float | None] = {
        "loss": float(losses.mean()),
        CALIBRATION: calibration_error(scaled, labels),
        "accuracy": float((answered == labels).mean()),
    }
    if decision.rejection is not None:
        is_given = ~decision.rejects(logits)
        hits = (answered == labels)[is_given]
        found[ANSWERED] = float(is_given.mean())
        found[ANSWERED_ACCURACY] = float(hits.mean()) if len(hits) else None
    if position is None:
        return found
    return found | AnswerCounts.of(answered == position, labels == position).describe()
