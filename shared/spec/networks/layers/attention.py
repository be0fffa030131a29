"""Self-attention of several heads over tokens (arXiv 1706.03762, section 3.2.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import Elementwise, Parameter, Shape, bias_parameter, kernel_initializer, prefixed
from .tokens import token_shape

PARTS = ("query", "key", "value")
# The biases of the key have a gradient of exactly zero: they add one constant to all scores of a
# query, and softmax does not see it.
INERT = "key/bias"


@dataclass(frozen=True, kw_only=True)
class SelfAttention(Elementwise):
    """Self-attention: tokens (T, C) to tokens (T, C), each head with C / heads channels.

    A head gives softmax(Q K^T / sqrt(C / heads)) V. The heads' channels follow each other and are
    projected. Every token sees every other: there is no mask.
    """

    kind: ClassVar[str] = "self_attention"
    heads: int
    initializer: str = "glorot_uniform"
    projection_initializer: str | None = None

    def output_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (T, C).

        Raises:
            UsageError: The channels are not a multiple of the number of heads.
        """
        channels = token_shape(inputs[0])[1]
        if channels % self.heads:
            raise UsageError(
                f"Got {channels} channels for {self.heads} heads. Expected a multiple of the "
                "number of heads. Try another width or number of heads."
            )
        return inputs[0]

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare a kernel (C, C) and a bias (C,) of query, key, value and projection each."""
        shape = (inputs[0][-1],) * 2
        names = dict.fromkeys(("query", "key", "value"), self.initializer)
        names["projection"] = self.projection_initializer or self.initializer
        return tuple(
            prefixed(part, parameter)
            for part, distribution in names.items()
            for parameter in (
                Parameter(
                    name="kernel",
                    shape=shape,
                    initializer=kernel_initializer(distribution, shape),
                ),
                bias_parameter("bias", shape[0]),
            )
        )

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the multiply-adds of four projections and of both products of all pairs."""
        tokens, channels = token_shape(inputs[0])
        return 4 * tokens * channels**2 + 2 * tokens**2 * channels

    def inner_values(self, inputs: Sequence[Shape]) -> int:
        """Return the values of queries, keys, values and mixtures, and of each head's shares."""
        tokens, channels = token_shape(inputs[0])
        return 4 * tokens * channels + self.heads * tokens**2

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        return {"channels": inputs[0][-1], "heads": self.heads}
