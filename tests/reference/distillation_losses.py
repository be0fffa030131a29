"""Losses against a frozen source in plain NumPy, one example at a time, from the formulas.

Everything works on complex numbers too, so that a gradient is the imaginary part of a value at a
complex step: exact to rounding. Maps are (N, H, W, C).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STEP = 1e-30


def absolute(value: Any) -> Any:
    return -value if value.real < 0 else value


def softened(logits: Any, temperature: float) -> Any:
    powers = [np.exp((value - max(logits.real)) / temperature) for value in logits]
    return np.array([power / sum(powers) for power in powers])


def soft_cross_entropy(
    logits: Any,
    teacher_logits: Any,
    *,
    temperature: float,
    subtract_entropy: bool = True,
    scale_by_temperature_squared: bool = True,
) -> Any:
    values = []
    for own, other in zip(logits, teacher_logits, strict=True):
        p, q = softened(own, temperature), softened(other, temperature)
        value = 0
        for p_c, q_c in zip(p, q, strict=True):
            value += q_c * (np.log(q_c) - np.log(p_c)) if subtract_entropy else -q_c * np.log(p_c)
        values.append(value * temperature**2 if scale_by_temperature_squared else value)
    return np.array(values)


def squared_error(maps: Any, hints: Any, *, reduction: str) -> Any:
    values = []
    for own, hint in zip(maps, hints, strict=True):
        total = sum((a - b) ** 2 for a, b in zip(own.ravel(), hint.ravel(), strict=True))
        values.append(total if reduction == "sum_features" else total / own.size)
    return np.array(values)


def attention_map(maps: Any, *, kind: str, power: float) -> Any:
    rows = []
    for image in maps:
        values = []
        for channels in image.reshape(-1, image.shape[-1]):
            sizes = [absolute(x) if kind == "sum" else absolute(x) ** power for x in channels]
            values.append(max(sizes, key=lambda s: s.real) if kind == "max_p" else sum(sizes))
        norm = np.sqrt(sum(value * value for value in values))
        rows.append([value / (norm if norm.real > 1e-12 else 1e-12) for value in values])
    return np.array(rows)


def attention_distance(attention: Any, source: Any, *, form: str) -> Any:
    values = []
    for own, other in zip(attention, source, strict=True):
        squares = [(a - b) ** 2 for a, b in zip(own, other, strict=True)]
        values.append(sum(squares) / len(squares) if form == "code" else np.sqrt(sum(squares)) / 2)
    return np.array(values)


def resize_maps(maps: Any, rows: Any, columns: Any) -> Any:
    return np.stack(
        [
            np.stack([rows @ image[:, :, c] @ columns.T for c in range(image.shape[-1])], axis=-1)
            for image in maps
        ]
    )


def gradients(function: Callable[..., Any], inputs: Sequence[Any], projection: Any) -> list[Any]:
    """Of sum(function(*inputs) * projection), by complex steps."""
    found = []
    for position, value in enumerate(inputs):
        gradient = np.zeros(value.shape)
        for index in np.ndindex(*value.shape):
            moved = [np.array(other, dtype=np.complex128) for other in inputs]
            moved[position][index] += 1j * STEP
            gradient[index] = (function(*moved) * projection).sum().imag / STEP
        found.append(gradient)
    return found
