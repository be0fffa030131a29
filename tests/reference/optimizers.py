"""Update rules in plain NumPy, as PyTorch's documentation publishes them; one array at a time."""

from collections.abc import Callable
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
