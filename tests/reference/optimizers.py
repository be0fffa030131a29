"""Update rules in plain NumPy, as PyTorch's documentation publishes them; one array at a time.

And what happens to gradients before the rule, and to weights after it: formulas over named arrays.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sgd(
    value: Array,
    gradient: Callable[[Array], Array],
    rates: list[float],
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> list[Array]:
    """The value after each step."""
    buffer, history = None, []
    for rate in rates:
        g = gradient(value) + weight_decay * value
        if momentum:
            buffer = g if buffer is None else momentum * buffer + g
            g = g + momentum * buffer if nesterov else buffer
        value = value - rate * g
        history.append(value)
    return history


def adam(
    value: Array,
    gradient: Callable[[Array], Array],
    rates: list[float],
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_decay: float = 0.0,
) -> list[Array]:
    """The value after each step; `weight_decay` is a term of the loss, AdamW's other one is not."""
    first, second, history = np.zeros_like(value), np.zeros_like(value), []
    for step, rate in enumerate(rates, start=1):
        g = gradient(value) + weight_decay * value
        value = value - rate * decoupled_decay * value
        first = beta1 * first + (1 - beta1) * g
        second = beta2 * second + (1 - beta2) * g**2
        mean, square = first / (1 - beta1**step), second / (1 - beta2**step)
        value = value - rate * mean / (np.sqrt(square) + epsilon)
        history.append(value)
    return history


def mean_gradient(parts: Sequence[Mapping[str, Array]], sizes: Sequence[int]) -> dict[str, Array]:
    """The gradient of the mean loss over all examples, from those of batches of these sizes."""
    total = sum(sizes)
    return {
        name: sum(size * part[name] for part, size in zip(parts, sizes, strict=True)) / total
        for name in parts[0]
    }


def clip(gradients: Mapping[str, Array], largest: float) -> dict[str, Array]:
    """PyTorch's `clip_grad_norm_`: g * min(1, c / (||g|| + 1e-6)), with one norm over all."""
    norm = np.sqrt(sum(float(np.sum(value**2)) for value in gradients.values()))
    return {name: value * min(1.0, largest / (norm + 1e-6)) for name, value in gradients.items()}


def product_of_factors(first: Array, second: Array, scale: float) -> Array:
    """The full kernel of two factors, with every sum written out.

    (kh, kw or 1, C, r) and (1, 1 or kw, r, F) give (kh, kw, C, F); (in, r) and (r, F) give (in, F).
    """
    if first.ndim == 2:
        return scale * np.einsum("ir,rf->if", first, second)
    if second.shape[1] == 1:
        return scale * np.einsum("hwcr,rf->hwcf", first, second[0, 0])
    return scale * np.einsum("hcr,wrf->hwcf", first[:, 0], second[0])


def frobenius_gradients(first: Array, second: Array, scale: float) -> tuple[Array, Array]:
    """The gradients of half the squared norm of the full kernel, by complex steps.

    The function is a polynomial, so that Im f(x + ih) / h is its derivative to the last digit.
    """
    step = 1e-40

    def half_square(a: Array, b: Array) -> complex:
        return complex(np.sum(product_of_factors(a, b, scale) ** 2) / 2)

    def derivative(value: Array, function: Callable[[Array], complex]) -> Array:
        found = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            moved = value.astype(np.complex128)
            moved[index] += 1j * step
            found[index] = function(moved).imag / step
        return found

    return (
        derivative(first, lambda a: half_square(a, second)),
        derivative(second, lambda b: half_square(first, b)),
    )


def average(start: Array, values: Sequence[Array], decays: Sequence[float]) -> Array:
    """The exponential moving average of values, which begins at `start`."""
    found = start
    for value, decay in zip(values, decays, strict=True):
        found = decay * found + (1 - decay) * value
    return found
