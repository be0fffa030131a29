"""Self-attention of several heads over tokens (arXiv 1706.03762, section 3.2.2)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from poc.shared.errors import UsageError

from .declaration import Elementwise, Parameter, Shape, bias_parameter, kernel_initializer, prefixed
from .lora import Lora, adapt, kernel_values
from .tokens import token_shape

PARTS = ("query", "key", "value")
PROJECTIONS = (*PARTS, "projection")
# The biases of the key have a gradient of exactly zero: they add one constant to all scores of a
# query, and softmax does not see it.
INERT = "key/bias"


@dataclass(frozen=True, kw_only=True)
class SelfAttention(Elementwise):
    """Self-attention: tokens (T, C) to tokens (T, C), each head with C / heads channels.

    A head gives softmax(Q K^T / sqrt(C / heads)) V. The heads' channels follow each other and are
    projected. Every token sees every other: there is no mask.

    `lora` adds trained low-rank terms to the kernels of the parts `adapted`. Its kernels
    and biases are then frozen.
    """

    kind: ClassVar[str] = "self_attention"
    heads: int
    initializer: str = "glorot_uniform"
    projection_initializer: str | None = None
    lora: Lora | None = None
    adapted: tuple[str, ...] = ()

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
        """Declare a kernel (C, C) and a bias (C,) of each part, and those of `lora`."""
        shape = (inputs[0][-1],) * 2
        names = dict.fromkeys(PROJECTIONS, self.initializer)
        names["projection"] = self.projection_initializer or self.initializer
        return tuple(
            prefixed(part, parameter)
            for part, distribution in names.items()
            for parameter in self._part_parameters(part, distribution, shape)
        )

    def _part_parameters(self, part: str, distribution: str, shape: Shape) -> tuple[Parameter, ...]:
        initializer = kernel_initializer(distribution, shape)
        kernel = Parameter(name="kernel", shape=shape, initializer=initializer)
        declared = (kernel, bias_parameter("bias", shape[1]))
        if self.lora is not None and part not in self.adapted:
            return tuple(replace(parameter, is_trainable=False) for parameter in declared)
        return adapt(declared, self.lora)

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the multiply-adds of all projections and of both products of all pairs."""
        tokens, channels = token_shape(inputs[0])
        return tokens * kernel_values(self.parameters(inputs)) + 2 * tokens**2 * channels

    def inner_values(self, inputs: Sequence[Shape]) -> int:
        """Return the values of queries, keys, values and mixtures, and of each head's shares."""
        tokens, channels = token_shape(inputs[0])
        return 4 * tokens * channels + self.heads * tokens**2

    def arguments(self, inputs: Sequence[Shape]) -> dict[str, object]:
        """Return the keyword arguments of this kind's class in both trees."""
        options: dict[str, object] = {"channels": inputs[0][-1], "heads": self.heads}
        if self.lora is None:
            return options
        return {**options, **self.lora.arguments(), "adapted": self.adapted}
