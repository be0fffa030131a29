"""Layers that make one map of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import Elementwise, Shape, Stateless


@dataclass(frozen=True, kw_only=True)
class Add(Elementwise):
    """Sum of its inputs, all of one shape."""

    kind: ClassVar[str] = "add"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """The common shape."""
        if len(set(inputs)) != 1:
            raise UsageError(f"received maps of shapes {list(inputs)} to add; allowed is one shape")
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Concatenate(Stateless):
    """Channels of its inputs, one after the other."""

    kind: ClassVar[str] = "concatenate"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """(H, W, sum of channels)."""
        if len({shape[:-1] for shape in inputs}) != 1:
            raise UsageError(f"received maps {list(inputs)} to concatenate; sizes must agree")
        return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))


@dataclass(frozen=True, kw_only=True)
class Multiply(Elementwise):
    """First input times the second, whose height and width are 1: one factor for each channel."""

    kind: ClassVar[str] = "multiply"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of the first input."""
        maps, factors = inputs
        if factors != (1, 1, maps[-1]):
            raise UsageError(
                f"received factors of shape {factors} for maps of shape {maps}; allowed is "
                f"{(1, 1, maps[-1])}"
            )
        return maps
