"""Precisions of a run, and the rule of dynamic loss scaling.

In mixed precision (`bfloat16`, `float16`) layers compute in the named type. Weights, optimiser
slots, running statistics, losses and logits stay float32 (arXiv 1710.03740, sections 3.1 and 3.2).
"""

from typing import Literal

Precision = Literal["float32", "float64", "bfloat16", "float16"]
# Precisions with rounding so small that a real difference between the backends shows; parity
# compares only in these.
EXACT: tuple[Precision, ...] = ("float32", "float64")
MIXED: tuple[Precision, ...] = ("bfloat16", "float16")
# Small gradients are below the smallest number of these types, so the loss is multiplied.
SCALED: tuple[Precision, ...] = ("float16",)

# Numbers of both frameworks' own scaling: the factor doubles after this many steps with finite
# gradients. A step with other gradients is left out, and the factor halves.
INITIAL_LOSS_SCALE = 2.0**15
LOSS_SCALE_FACTOR = 2.0
STEPS_TO_GROW = 2000
# If gradients overflow without an enlarged loss, a smaller factor does not help.
SMALLEST_LOSS_SCALE = 1.0

# On CPUs PyTorch's kernels are ten times slower than those of float32, and TensorFlow's sums round
# after each addition: 16,384 numbers add up to a quarter of their sum.
NO_FLOAT16 = (
    "Got precision='float16' on the CPU, whose kernels for it are slow or wrong. Expected a GPU "
    "with this precision. Try precision=bfloat16."
)


def storage_type(precision: Precision) -> str:
    """Return the type of weights, optimiser slots, losses and logits."""
    return "float32" if precision in MIXED else precision
