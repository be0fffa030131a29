"""Layers that turn several maps into one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import Elementwise, Shape, Stateless


@dataclass(frozen=True, kw_only=True)
class Add(Elementwise):
    """The sum of inputs of one shape."""

    kind: ClassVar[str] = "add"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape that all inputs have."""
        if len(set(inputs)) != 1:
            raise UsageError(
                f"Got maps of the shapes {list(inputs)} to add. Expected one shape. Try other "
                "strides or filters for the layers before."
            )
        return inputs[0]


@dataclass(frozen=True, kw_only=True)
class Concatenate(Stateless):
    """The channels of all inputs, one input after the other."""

    kind: ClassVar[str] = "concatenate"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H, W, sum of channels)."""
        if len({shape[:-1] for shape in inputs}) != 1:
            raise UsageError(
                f"Got maps of the shapes {list(inputs)} to concatenate. Expected one height and "
                "width. Try other strides or padding for the layers before."
            )
        return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))


@dataclass(frozen=True, kw_only=True)
class Multiply(Elementwise):
    """The first input (H, W, C) times the second (1, 1, C): one factor per channel."""

    kind: ClassVar[str] = "multiply"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the shape of the first input."""
        maps, factors = inputs
        if factors != (1, 1, maps[-1]):
            raise UsageError(
                f"Got factors of shape {factors} for maps of shape {maps}. Expected "
                f"{(1, 1, maps[-1])}. Try {maps[-1]} filters for the factors."
            )
        return maps
