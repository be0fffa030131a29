"""The decision of a study, as `decision.json` holds it. docs/study.md documents each key.

Accuracies and differences are fractions, sizes bytes, times seconds.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

# Files of a study's folder: its definition, and its decision.
DEFINITION, DECISION = "study.json", "decision.json"
FORMAT: Literal["poc study decision 1"] = "poc study decision 1"
# Studies were written in the format of another file, the decision of `poc calibrate`.
FORMER_FORMAT = "poc decision 1"


class Part(BaseModel):
    """A frozen part of the decision that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Recommended(Part):
    """The candidate to use: its framework, its validation accuracy and its runs."""

    candidate: str
    framework: str
    validation_accuracy: float
    runs: tuple[str, ...]


class MeasuredCost(Part):
    """Cost of a row, as measured; null if it was not."""

    weight_bytes: float | None = None
    file_bytes: float | None = None
    latency_seconds: float | None = None
    batch_latency_seconds: float | None = None
    training_seconds: float | None = None
    memory_bytes: float | None = None


class CandidateRow(Part):
    """A candidate in a framework: its test accuracy with a 95 % interval, and its cost.

    The interval of a row is not corrected for the choice among rows; `interval` of the decision is.
    """

    candidate: str
    framework: str
    accuracy: float
    interval: tuple[float, float]
    cost: MeasuredCost


class Claim(Part):
    """A candidate that is shown to be better than another one: the difference, its interval."""

    better: str
    worse: str
    difference: float
    interval: tuple[float, float]
    p_value: float


class Equivalent(Part):
    """A candidate that is as good within noise and costs less.

    `difference` is the accuracy of the recommended candidate minus its own. Ratios are its cost
    over that of the recommended candidate. `is_within_margin`: the complete interval is within the
    smallest difference worth knowing, so that equality is shown and not only not disproved.
    """

    candidate: str
    framework: str
    difference: float
    interval: tuple[float, float]
    is_within_margin: bool
    size_ratio: float | None
    latency_ratio: float | None
    training_ratio: float | None


class FrameworkVerdict(Part):
    """Both frameworks of a candidate: accuracy of tf minus that of torch.

    `better` is the framework that is shown to be more accurate, or null.
    """

    candidate: str
    difference: float
    interval: tuple[float, float]
    p_value: float
    better: Literal["tf", "torch"] | None


class OpenQuestion(Part):
    """Two candidates that are not told apart, and the numbers that would tell them apart.

    `difference` is the accuracy of the first minus that of the second. `more_images` and
    `more_seeds` are each enough alone; `both` is set if neither is. All are null if no number
    within reach is enough.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float]
    more_images: int | None
    more_seeds: int | None
    both: tuple[int, int] | None


class LearningCurve(Part):
    """Accuracies on shares of the train part, and the gain of the last step.

    `points` are (train images, accuracy, low, high). `helps`: the gain is shown to be above 0.
    """

    points: tuple[tuple[int, float, float, float], ...]
    gain: float
    interval: tuple[float, float]
    helps: bool


class LimitsVerdict(Part):
    """Limits of the user, and what is over them; null: no limit.

    `is_met`: the recommended row keeps them. If not, no tested row does, and it is the nearest one.
    `over` are the tested rows (candidate, framework) that are not shown to keep them, and
    `not_trained` the candidates whose weights alone are too large.
    """

    max_bytes: float | None
    max_latency_seconds: float | None
    is_met: bool
    over: tuple[tuple[str, str], ...]
    not_trained: tuple[str, ...]


class Decision(Part):
    """Everything that the first screen of a study says."""

    format: Literal["poc study decision 1"] = FORMAT
    recommended: Recommended
    expected_accuracy: float
    interval: tuple[float, float]
    num_test_images: int
    num_test_groups: int | None
    is_folds: bool
    equivalent: tuple[Equivalent, ...]
    better_than: tuple[Claim, ...]
    frameworks: tuple[FrameworkVerdict, ...]
    cost: MeasuredCost
    candidates: tuple[CandidateRow, ...]
    pareto: dict[str, tuple[tuple[str, str], ...]]
    learning_curve: LearningCurve | None
    open_questions: tuple[OpenQuestion, ...]
    limits: LimitsVerdict | None = None
    sentences: tuple[str, ...] = ()

    @field_validator("format", mode="before")
    @classmethod
    def read_former(cls, name: object) -> object:
        """Take the name of the former format, whose keys are the same, for that of this one."""
        return FORMAT if name == FORMER_FORMAT else name

    def to_json(self) -> str:
        """Return the text of `decision.json`."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Decision":
        """Read the text of `decision.json`.

        Raises:
            pydantic.ValidationError: The text is no decision of this format.
        """
        return cls.model_validate_json(text)
