"""The decision of a run: how it answers, by a temperature, a threshold and a least confidence.

`poc calibrate` fits them on the validation part alone and writes them to `decision.json`. They
belong to one file of weights, whose digest the decision holds: with other weights, it is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poc.shared.engine.numerics.scores import confidence_of, log_odds
from poc.shared.errors import UsageError
from poc.shared.files.collisions import digest_file
from poc.shared.files.whole import read_object, write_json

DECISION, FORMAT = "decision.json", "poc decision 1"
# The weights that a decision is made for.
CHECKPOINT = "best"


# Logits of float32 over a temperature within these are far from the ends of float64.
Temperature = Annotated[float, Field(ge=1e-100, le=1e100)]


class Threshold(BaseModel):
    """A threshold between two classes.

    An image is answered as `positive` if the log-odds of this class, after the temperature, are at
    least `log_odds`. `probability` is the same as a probability, which can round to 1.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    positive: str
    rule: Literal["sensitivity", "costs"]
    sensitivity: float | None = None
    false_positive_cost: float | None = None
    false_negative_cost: float | None = None
    log_odds: float = Field(allow_inf_nan=False)
    probability: float = Field(ge=0, le=1)

    def describe(self) -> str:
        """Return the rule in words."""
        if self.rule == "sensitivity":
            return f"sensitivity of at least {self.sensitivity:g} on the validation part"
        return (
            f"least cost on the validation part, {self.false_positive_cost:g} for a false positive "
            f"and {self.false_negative_cost:g} for a false negative"
        )


class Rejection(BaseModel):
    """The least confidence of an image that is answered.

    Confidence is the log-odds of the most probable class against the rest, after the temperature.
    `probability` is the same as a probability, which can round to 1. `share` is the wanted one: of
    right answers among those given, or of images that are answered.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    rule: Literal["accuracy", "answered"]
    share: float
    log_odds: float = Field(allow_inf_nan=False)
    probability: float = Field(ge=0, le=1)

    def describe(self) -> str:
        """Return the rule in words."""
        if self.rule == "accuracy":
            return f"{self.share:.4g} of the answers are right on the validation part"
        return f"{self.share:.4g} of the validation part is answered"


class AnswerRule(BaseModel):
    """How logits of these classes are answered."""

    model_config = ConfigDict(strict=True, frozen=True)
    class_names: list[str]
    temperature: Temperature
    threshold: Threshold | None = None
    rejection: Rejection | None = None

    @model_validator(mode="after")
    def check_classes(self) -> Self:
        """Refuse a threshold for classes other than two, or for an unknown one."""
        if self.threshold and (
            len(self.class_names) != 2 or self.threshold.positive not in self.class_names
        ):
            raise ValueError("a threshold needs two classes, and one of them as positive")
        if self.threshold and self.rejection:
            raise ValueError("a threshold and a least confidence exclude each other")
        return self

    def scale(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return logits (N, C) over the temperature, whose softmax are the probabilities."""
        return np.asarray(logits, dtype=np.float64) / self.temperature

    def answer(self, logits: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the classes (N,) that logits (N, C), not yet scaled, are answered with."""
        scaled = self.scale(logits)
        if self.threshold is None:
            return np.asarray(scaled.argmax(axis=1), dtype=np.int64)
        positive = self.class_names.index(self.threshold.positive)
        is_positive = log_odds(scaled, positive) >= self.threshold.log_odds
        return np.where(is_positive, positive, 1 - positive).astype(np.int64)

    def rejects(self, logits: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return (N,) bool, True for logits (N, C), not yet scaled, that are not answered."""
        if self.rejection is None:
            return np.zeros(len(logits), dtype=np.bool_)
        return np.asarray(confidence_of(self.scale(logits)) < self.rejection.log_odds)

    def summary(self) -> dict[str, object]:
        """Return what a user of the answers must know, as JSON values."""
        return {
            "temperature": self.temperature,
            "threshold": self.threshold.model_dump() if self.threshold else None,
            "rejection": self.rejection.model_dump() if self.rejection else None,
        }


class FittedOn(BaseModel):
    """The answers that a decision was fitted on: the file, its digest, and its images per class."""

    model_config = ConfigDict(strict=True, frozen=True)
    part: str
    file: str
    sha256: str
    images: int
    images_per_class: dict[str, int]


class Decision(AnswerRule):
    """The content of `decision.json`; `figures` shows it on the validation and the test part."""

    format: str
    written: str
    command: str
    checkpoint: str
    checkpoint_sha256: str
    fitted_on: FittedOn
    is_temperature_fitted: bool
    figures: dict[str, Any] = {}

    def summary(self) -> dict[str, object]:
        """Return what a user of the answers must know, as JSON values."""
        return {
            **super().summary(),
            "fitted_on": self.fitted_on.model_dump(),
            "checkpoint_sha256": self.checkpoint_sha256,
        }


def digest_checkpoint(folder: Path) -> str:
    """Return the digest of the weights that a decision is made for.

    Frozen weights are in a file of their own, whose name is its digest and in this file's header.
    """
    return digest_file(folder / "checkpoints" / f"{CHECKPOINT}.safetensors")


def write_decision(folder: Path, decision: Decision) -> None:
    """Write `decision.json`, completely or not at all."""
    write_json(folder / DECISION, decision.model_dump())


def read_decision(folder: Path, class_names: Sequence[str]) -> Decision | None:
    """Read the decision of a run's best weights; None if there is none.

    Args:
        folder: Run folder.
        class_names: The run's classes, in the order of the logits.

    Raises:
        UsageError: The file is malformed, or was made for other weights or classes.
    """
    path = folder / DECISION
    if not path.exists():
        return None
    again = f"Try `poc calibrate {folder}` again, or removing {DECISION}."
    try:
        decision = Decision.model_validate(read_object(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"Got a malformed {str(path)!r} ({key}: {first['msg']}). Expected the file that `poc "
            f"calibrate` wrote. {again}"
        ) from None
    if decision.format != FORMAT or decision.class_names != list(class_names):
        raise UsageError(
            f"Got {str(path)!r} of the format {decision.format!r} for the classes "
            f"{', '.join(map(repr, decision.class_names))}. Expected {FORMAT!r} and the classes of "
            f"the run. {again}"
        )
    if decision.checkpoint_sha256 != digest_checkpoint(folder):
        raise UsageError(
            f"Got {str(path)!r}, which was made for other weights than the run's present "
            f"{CHECKPOINT} ones. Expected a decision for these. {again}"
        )
    return decision
