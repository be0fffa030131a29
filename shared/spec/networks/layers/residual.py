"""What a residual network adds to a chain: weighted sums, gates, and blocks that are dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from poc.shared.errors import UsageError

from .declaration import Elementwise, Shape


@dataclass(frozen=True, kw_only=True)
class ScaledAdd(Elementwise):
    """x + scale * f, inputs (x, f) of one shape (Inception-ResNet, arXiv 1602.07261, 3.3)."""

    kind: ClassVar[str] = "scaled_add"
    scale: float

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape."""
        return common_shape(inputs)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {"scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class StochasticDepth(Elementwise):
    """Drops a residual branch in training (arXiv 1603.09382); evaluation keeps every branch.

    `mode="batch"` draws once a step: the branch is not computed at all where it is dropped.
    `mode="row"` draws for every example, and multiplies. `scaling="test"` is the paper's: the
    branch times `survival` in evaluation. `scaling="train"` is the libraries': divided by it in
    training.
    """

    kind: ClassVar[str] = "stochastic_depth"
    survival: float
    mode: Literal["batch", "row"] = "batch"
    scaling: Literal["test", "train"] = "test"

    @property
    def rate(self) -> float:
        """Probability that the branch is dropped."""
        return 1.0 - self.survival

    @property
    def is_gate(self) -> bool:
        """Whether it decides for a whole batch."""
        return self.mode == "batch" and self.rate > 0

    @property
    def training_factor(self) -> float:
        """What a kept branch is multiplied by in training."""
        return 1 / self.survival if self.scaling == "train" else 1.0

    @property
    def evaluation_factor(self) -> float:
        """What the branch is multiplied by in evaluation."""
        return self.survival if self.scaling == "test" else 1.0

    def mask_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of one example's mask: one value."""
        return (1,) * len(inputs[0])

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Of both trees' classes, by keyword."""
        return {
            "training_factor": self.training_factor,
            "evaluation_factor": self.evaluation_factor,
        }


@dataclass(frozen=True, kw_only=True)
class Highway(Elementwise):
    """h * t + x * (1 - t), inputs (x, h, t) of one shape, t in (0, 1) (arXiv 1505.00387, eq. 3)."""

    kind: ClassVar[str] = "highway"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape."""
        return common_shape(inputs)


def common_shape(inputs: Sequence[Shape]) -> Shape:
    """The one shape of all inputs.

    Raises:
        UsageError: They differ.
    """
    if len(set(inputs)) != 1:
        raise UsageError(
            f"received maps of shapes {list(inputs)} to combine; allowed is one shape: give the "
            "shortcut a projection"
        )
    return inputs[0]
