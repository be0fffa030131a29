"""LoRA (arXiv 2106.09685): a low-rank product of two trained kernels is added to a frozen one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .declaration import ZEROS, Parameter, kernel_initializer

# Names of both kernels below those of the layer.
FIRST, SECOND = "lora/a/kernel", "lora/b/kernel"


@dataclass(frozen=True, kw_only=True)
class Lora:
    """The term (alpha / rank) * (x A) B that is added to x W; only A and B learn.

    For a convolution, A is one of `rank` filters with its window, strides, padding and groups, and
    B is a 1x1 convolution; each group has `rank` filters of its own.
    """

    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """Return the factor on the product of both kernels."""
        return self.alpha / self.rank

    def arguments(self) -> dict[str, object]:
        """Return the keyword argument of the layer's class in both trees: rank and factor."""
        return {"lora": (self.rank, self.scale)}


def adapt(
    parameters: Sequence[Parameter], lora: Lora | None, groups: int = 1
) -> tuple[Parameter, ...]:
    """Add A and B to the kernel and the bias of a layer, which are then frozen.

    A begins as in the paper's code: U(-a, a), a = 1 / sqrt(inputs of one filter). B begins at zero,
    so that the first outputs do not change.
    """
    if lora is None:
        return tuple(parameters)
    *window, inputs, outputs = parameters[0].shape
    first = (*window, inputs, groups * lora.rank)
    second = (*(1 for _ in window), lora.rank, outputs)
    return (
        *(replace(parameter, is_trainable=False) for parameter in parameters),
        Parameter(name=FIRST, shape=first, initializer=kernel_initializer("torch_uniform", first)),
        Parameter(name=SECOND, shape=second, initializer=ZEROS),
    )


def is_term(name: str) -> bool:
    """Say if a parameter is A or B of a term."""
    return name.endswith((f"/{FIRST}", f"/{SECOND}"))


def kernel_values(parameters: Sequence[Parameter]) -> int:
    """Return the number of values in all kernels, which an output position multiplies once each."""
    return sum(math.prod(p.shape) for p in parameters if p.name.endswith("kernel"))


def largest_rank(kernel: Parameter, groups: int = 1) -> int:
    """Return the rank that reproduces every change of the kernel (…, in, out) of a layer."""
    *window, inputs, outputs = kernel.shape
    return min(math.prod(window) * inputs, outputs // groups)
