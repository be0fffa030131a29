"""Layers of tokens (T, C): maps as tokens and back, learned tokens and positions, and vectors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import Elementwise, Initializer, Parameter, Shape, Stateless


@dataclass(frozen=True, kw_only=True)
class ToTokens(Stateless):
    """A map (H, W, C) as tokens (H * W, C), row by row."""

    kind: ClassVar[str] = "to_tokens"

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H * W, C).

        Raises:
            UsageError: The input is not a map.
        """
        if len(inputs[0]) != 3:
            raise UsageError(
                f"Got an input of shape {inputs[0]} to cut into tokens. Expected a map (height, "
                "width, channels). Try a convolution before it."
            )
        return (math.prod(inputs[0][:2]), inputs[0][2])


@dataclass(frozen=True, kw_only=True)
class ToMap(Stateless):
    """Tokens (T, C) after the first `skipped` ones as a map (H, W, C), for whom reads maps."""

    kind: ClassVar[str] = "to_map"
    height: int
    width: int
    skipped: int = 0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H, W, C).

        Raises:
            UsageError: The number of tokens is another.
        """
        tokens, channels = token_shape(inputs[0])
        if tokens - self.skipped != self.height * self.width:
            raise UsageError(
                f"Got {tokens} tokens for a map of {self.height}x{self.width} after "
                f"{self.skipped}. Expected {self.skipped + self.height * self.width}. Try the "
                "size of the map that the tokens come from."
            )
        return (self.height, self.width, channels)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"height": self.height, "width": self.width, "skipped": self.skipped}


@dataclass(frozen=True, kw_only=True)
class LearnedTokens:
    """Learned tokens, the same for every image, put after the first `place` tokens of the input.

    A class token is one at place 0; registers (arXiv 2309.16588) come after it. The first values
    are normal with the deviation `deviation`.
    """

    kind: ClassVar[str] = "learned_tokens"
    count: int = 1
    place: int = 0
    deviation: float = 0.02

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (T + count, C)."""
        tokens, channels = token_shape(inputs[0])
        return (tokens + self.count, channels)

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare the embedding (count, C)."""
        return (embedding_parameter((self.count, inputs[0][-1]), self.deviation),)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return 0: nothing is multiplied."""
        return 0

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"channels": inputs[0][-1], "count": self.count, "place": self.place}


@dataclass(frozen=True, kw_only=True)
class PositionEmbedding(Elementwise):
    """A learned vector for each position, added to the tokens (T, C)."""

    kind: ClassVar[str] = "position_embedding"
    deviation: float = 0.02

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare the embedding (T, C)."""
        return (embedding_parameter(token_shape(inputs[0]), self.deviation),)

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        tokens, channels = token_shape(inputs[0])
        return {"channels": channels, "count": tokens}


@dataclass(frozen=True, kw_only=True)
class TakeToken(Stateless):
    """One token of (T, C) as a vector (C,); the first is the class token."""

    kind: ClassVar[str] = "take_token"
    place: int = 0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (C,)."""
        return token_shape(inputs[0])[1:]

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"place": self.place}


@dataclass(frozen=True, kw_only=True)
class MeanTokens(Stateless):
    """The mean over the tokens (T, C) after the first `skipped` ones: (C,)."""

    kind: ClassVar[str] = "mean_tokens"
    skipped: int = 0

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (C,)."""
        return token_shape(inputs[0])[1:]

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"skipped": self.skipped}


def embedding_parameter(shape: Shape, deviation: float) -> Parameter:
    """Declare a learned table of vectors, with normal first values."""
    initializer = Initializer(distribution="normal", scale=deviation)
    return Parameter(name="embedding", shape=shape, initializer=initializer)


def token_shape(shape: Shape) -> tuple[int, int]:
    """Return number and width of tokens (T, C).

    Raises:
        UsageError: The input is not a sequence of tokens.
    """
    if len(shape) != 2:
        raise UsageError(
            f"Got an input of shape {shape} for a layer of tokens. Expected (tokens, channels). "
            "Try a to_tokens layer first."
        )
    return shape[0], shape[1]
