"""Layers of residual networks: weighted sums, gates, and blocks that are dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from poc.shared.errors import UsageError

from .declaration import Elementwise, Shape


@dataclass(frozen=True, kw_only=True)
class ScaledAdd(Elementwise):
    """The sum x + scale * f of inputs (x, f) of one shape (arXiv 1602.07261, section 3.3)."""

    kind: ClassVar[str] = "scaled_add"
    scale: float

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape that all inputs have."""
        return common_shape(inputs)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class StochasticDepth(Elementwise):
    """Stochastic depth (arXiv 1603.09382): training drops a residual branch, evaluation keeps it.

    `mode="batch"` draws once per step: a dropped branch is not computed. `mode="row"` draws for
    every example and multiplies the branch by 0 or 1. `scaling="test"` multiplies the branch by
    `survival` in evaluation, as in the paper. `scaling="train"` divides it by `survival` in
    training, as the libraries do.
    """

    kind: ClassVar[str] = "stochastic_depth"
    survival: float
    mode: Literal["batch", "row"] = "batch"
    scaling: Literal["test", "train"] = "test"

    @property
    def rate(self) -> float:
        """Return the probability that the branch is dropped."""
        return 1.0 - self.survival

    @property
    def is_gate(self) -> bool:
        """Return whether one draw decides for a full batch."""
        return self.mode == "batch" and self.rate > 0

    @property
    def training_factor(self) -> float:
        """Return the factor on a kept branch in training."""
        return 1 / self.survival if self.scaling == "train" else 1.0

    @property
    def evaluation_factor(self) -> float:
        """Return the factor on the branch in evaluation."""
        return self.survival if self.scaling == "test" else 1.0

    def mask_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of one example's mask, which is one value."""
        return (1,) * len(inputs[0])

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {
            "rate": self.rate,
            "is_gate": self.is_gate,
            "training_factor": self.training_factor,
            "evaluation_factor": self.evaluation_factor,
        }


@dataclass(frozen=True, kw_only=True)
class Highway(Elementwise):
    """The mixture h * t + x * (1 - t) of inputs (x, h, t) of one shape, t in (0, 1).

    It is equation 3 of arXiv 1505.00387.
    """

    kind: ClassVar[str] = "highway"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape that all inputs have."""
        return common_shape(inputs)


def common_shape(inputs: Sequence[Shape]) -> Shape:
    """Return the shape that all inputs have.

    Raises:
        UsageError: The shapes differ.
    """
    if len(set(inputs)) != 1:
        raise UsageError(
            f"Got maps of the shapes {list(inputs)} to combine. Expected one shape. Try a "
            "projection in the shortcut."
        )
    return inputs[0]
