"""Precisions of a run, and the rule of dynamic loss scaling.

In mixed precision (`bfloat16`, `float16`) layers compute in the named type. Weights, optimiser
slots, running statistics, losses and logits stay float32 (arXiv 1710.03740, sections 3.1 and 3.2).
"""

from typing import Literal

Precision = Literal["float32", "float64", "bfloat16", "float16"]
# Those in which two backends can be told apart: parity is a matter of them alone.
EXACT: tuple[Precision, ...] = ("float32", "float64")
MIXED: tuple[Precision, ...] = ("bfloat16", "float16")
# Those whose gradients vanish below their smallest number, so that the loss is multiplied.
SCALED: tuple[Precision, ...] = ("float16",)

# Of both frameworks' own scaling: a factor that doubles after so many steps with finite gradients;
# a step whose gradients are not finite is left out, and the factor halves.
INITIAL_LOSS_SCALE = 2.0**15
LOSS_SCALE_FACTOR = 2.0
STEPS_TO_GROW = 2000
# Gradients that overflow although the loss was not enlarged will not be mended by a smaller factor.
SMALLEST_LOSS_SCALE = 1.0

# On CPUs PyTorch's kernels are ten times slower than those of float32, and TensorFlow's sums round
# after each addition: 16,384 numbers add up to a quarter of their sum.
NO_FLOAT16 = (
    "received the precision 'float16' on the CPU, whose kernels for it are slow or wrong; allowed "
    "is it on a GPU: set precision=bfloat16"
)


def storage_type(precision: Precision) -> str:
    """Type of weights, slots, losses and logits."""
    return "float32" if precision in MIXED else precision
