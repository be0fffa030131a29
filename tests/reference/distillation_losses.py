"""Losses against a frozen source in plain NumPy, one example at a time, from the formulas.

Everything works on complex numbers too, so that a gradient is the imaginary part of a value at a
complex step: exact to rounding. Maps are (N, H, W, C).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

STEP = 1e-30
PARTS = ("hidden/kernel", "hidden/bias", "output/kernel", "output/bias")


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


def similarity_rows(maps: Any, *, row_length: int) -> Any:
    rows = np.zeros((len(maps), row_length), dtype=maps.dtype)
    for i, j in np.ndindex(len(maps), len(maps)):
        rows[i, j] = sum(a * b for a, b in zip(maps[i].ravel(), maps[j].ravel(), strict=True))
    return rows


def unit_vectors(vectors: Any) -> Any:
    rows = []
    for vector in vectors:
        norm = np.sqrt(sum(value * value for value in vector))
        rows.append([value / (norm if norm.real > 1e-12 else 1e-12) for value in vector])
    return np.array(rows)


def pair_attention(queries: Any, keys: Any, *, temperature: float) -> Any:
    """(N, S, K), (N, T, K) -> (N, S, T)."""
    return np.array(
        [
            [softened(np.array([sum(q * k) for k in image_keys]), temperature) for q in image]
            for image, image_keys in zip(queries, keys, strict=True)
        ]
    )


def semckd_matching(
    weights: Mapping[str, Any],
    own: Mapping[str, Any],
    maps: Mapping[str, Any],
    *,
    row_length: int,
    temperature: float = 1.0,
) -> tuple[Any, Any]:
    """Weighted errors (N,), summed over pairs and not times beta, and the weights (N, S, T).

    From maps (N, H, W, C) of the student, `own`, and of the teacher, by tap. `weights` are those of
    the queries, keys and projections by name: the layers are written out.
    """

    def embed(name: str, rows: Any) -> Any:
        part = {key: weights[f"{name}/{key}"] for key in PARTS}
        hidden = rows @ part["hidden/kernel"] + part["hidden/bias"]
        hidden = np.where(hidden.real > 0, hidden, 0)
        return unit_vectors(hidden @ part["output/kernel"] + part["output/bias"])

    sides = [("query", own), ("key", maps)]
    queries, keys = (
        np.stack(
            [
                embed(f"{side}/{tap}", similarity_rows(values, row_length=row_length))
                for tap, values in found.items()
            ],
            axis=1,
        )
        for side, found in sides
    )
    attention = pair_attention(queries, keys, temperature=temperature)
    total = np.zeros(len(attention), dtype=np.result_type(*weights.values(), *own.values()))
    for (s, target), (t, source) in product(enumerate(own), enumerate(maps)):
        size = [min(own[target].shape[axis], maps[source].shape[axis]) for axis in (1, 2)]
        first, second = shrink(own[target], *size), shrink(maps[source], *size)
        projected = project(weights, f"projection/{source}>{target}", first)
        total = total + attention[:, s, t] * squared_error(projected, second, reduction="mean")
    return total, attention


def project(weights: Mapping[str, Any], name: str, maps: Any) -> Any:
    """1x1, 3x3 and 1x1 convolutions; batch statistics and ReLU behind the first two."""
    for index in (1, 2):
        maps = convolve(maps, weights[f"{name}/conv{index}/kernel"])
        flat = maps.reshape(-1, maps.shape[-1])
        mean = flat.mean(axis=0)
        deviation = np.sqrt(((flat - mean) * (flat - mean)).mean(axis=0) + 1e-5)
        norm = f"{name}/norm{index}"
        maps = weights[f"{norm}/gamma"] * (maps - mean) / deviation + weights[f"{norm}/beta"]
        maps = np.where(maps.real > 0, maps, 0)
    return convolve(maps, weights[f"{name}/output/kernel"])


def convolve(maps: Any, kernel: Any) -> Any:
    """Pixel by pixel, with zeros around the map."""
    height, width = maps.shape[1:3]
    side = kernel.shape[0] // 2
    padded = np.pad(maps, ((0, 0), (side, side), (side, side), (0, 0)))
    result = np.zeros((len(maps), height, width, kernel.shape[3]), np.result_type(maps, kernel))
    for i, j in np.ndindex(height, width):
        window = padded[:, i : i + kernel.shape[0], j : j + kernel.shape[1]]
        result[:, i, j] = np.einsum("nabc,abcf->nf", window, kernel)
    return result


def shrink(maps: Any, height: int, width: int) -> Any:
    """The mean of floor(i * in / out) to ceil((i + 1) * in / out) along both axes."""
    found = np.zeros((len(maps), height, width, maps.shape[-1]), maps.dtype)
    for i, j in np.ndindex(height, width):
        (top, bottom), (left, right) = (
            (k * size // count, -(-(k + 1) * size // count))
            for k, size, count in ((i, maps.shape[1], height), (j, maps.shape[2], width))
        )
        found[:, i, j] = maps[:, top:bottom, left:right].mean(axis=(1, 2))
    return found


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
