"""Every layer kind in plain NumPy: slow, obvious, and written from the formulas.

Everything works on complex numbers too, so that a gradient is the imaginary part of a value at a
complex step: exact to rounding, with no difference of nearby numbers. Comparisons look at the real
part. Maps are (N, H, W, C), kernels (kh, kw, in, out), masks true where a value is kept.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[Any]
Values = dict[str, Array]


def activate(x: Array, name: str | None) -> Array:
    if name is None:
        return x
    return {
        "relu": lambda: np.where(x.real > 0, x, 0),
        "relu6": lambda: np.where(x.real > 6, 6, np.where(x.real > 0, x, 0)),
        "hard_swish": lambda: x * activate(x, "hard_sigmoid"),
        "gelu": lambda: x * (1 + error_function(x / np.sqrt(2))) / 2,
        "gelu_tanh": lambda: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
        "sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "hard_sigmoid": lambda: activate(x + 3, "relu6") / 6,
        "swish": lambda: x / (1 + np.exp(-x)),
        "tanh": lambda: np.tanh(x),
        "softmax": lambda: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
    }[name]()


def error_function(x: Array) -> Array:
    """erf of a real number; a small imaginary part goes through its derivative."""
    return erf(x.real) + 1j * x.imag * 2 / np.sqrt(np.pi) * np.exp(-(x.real**2))


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Smallest (before, after) under which ceil(size / stride) windows fit; the odd one after."""
    wanted = int(np.ceil(size / stride))
    total = 0
    while (size + total - kernel_size) // stride + 1 < wanted or size + total < kernel_size:
        total += 1
    return total // 2, total - total // 2


def find_pads(layer: Any, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    if layer.padding == "valid":
        return (0, 0), (0, 0)
    if layer.padding == "same":
        top, left = (
            same_padding(shape[axis], layer.kernel_size[axis], layer.strides[axis])
            for axis in (0, 1)
        )
        return top, left
    return layer.padding


def windows(x: Array, layer: Any, value: float) -> tuple[Array, int, int]:
    """Every window, (positions, N, kh, kw, C), row by row, and the output's height and width."""
    (top, bottom), (left, right) = find_pads(layer, x.shape[1:])
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)
    (kh, kw), (sh, sw) = layer.kernel_size, layer.strides
    height = (padded.shape[1] - kh) // sh + 1
    width = (padded.shape[2] - kw) // sw + 1
    found = [
        padded[:, i * sh : i * sh + kh, j * sw : j * sw + kw, :]
        for i in range(height)
        for j in range(width)
    ]
    return np.stack(found), height, width


def as_map(values: Array, height: int, width: int) -> Array:
    """(positions, N, C) -> (N, H, W, C)."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], height, width, values.shape[2])


def conv2d(layer: Any, weights: Values, x: Array) -> Array:
    found, height, width = windows(x, layer, 0)
    kernel = weights["kernel"]
    groups = x.shape[-1] // kernel.shape[2]
    inputs, outputs = np.split(found, groups, axis=-1), np.split(kernel, groups, axis=-1)
    values = [
        np.einsum("pnijc,ijcf->pnf", part, share)
        for part, share in zip(inputs, outputs, strict=True)
    ]
    result = as_map(np.concatenate(values, axis=-1), height, width) + low_rank_maps(
        layer, weights, found, height, width
    )
    return activate(result + weights.get("bias", 0), layer.activation)


def low_rank_maps(layer: Any, weights: Values, found: Array, height: int, width: int) -> Any:
    """LoRA of a convolution, group by group: its windows through A, then each pixel through B."""
    if layer.lora is None:
        return 0
    a, b, rank = weights["lora/a/kernel"], weights["lora/b/kernel"][0, 0], layer.lora.rank
    size, each = a.shape[2], b.shape[1] // layer.groups
    terms = []
    for group in range(layer.groups):
        own = found[..., group * size : (group + 1) * size]
        narrow = np.einsum("pnijc,ijcr->pnr", own, a[..., group * rank : (group + 1) * rank])
        terms.append(narrow @ b[:, group * each : (group + 1) * each])
    return as_map(np.concatenate(terms, axis=-1), height, width) * (layer.lora.alpha / rank)


def depthwise_conv2d(layer: Any, weights: Values, x: Array) -> Array:
    found, height, width = windows(x, layer, 0)
    values = np.einsum("pnijc,ijc->pnc", found, weights["kernel"][..., 0])
    return activate(as_map(values, height, width) + weights.get("bias", 0), layer.activation)


def separable_conv2d(layer: Any, weights: Values, x: Array) -> Array:
    found, height, width = windows(x, layer, 0)
    middle = as_map(
        np.einsum("pnijc,ijc->pnc", found, weights["depthwise/kernel"][..., 0]), height, width
    )
    result = middle @ weights["pointwise/kernel"][0, 0] + weights["pointwise/bias"]
    return activate(result, layer.activation)


def light_conv2d(layer: Any, weights: Values, x: Array) -> Array:
    """Both convolutions at full kernel size; strides act in the first alone, unless in both."""
    again = {"first": (1, 1), "both": layer.strides}[layer.strides_in]
    middle = conv2d(
        Window(layer, layer.strides, layer.inner_activation),
        {"kernel": weights["reduce/kernel"], "bias": weights["reduce/bias"]},
        x,
    )
    return conv2d(
        Window(layer, again, layer.activation),
        {"kernel": weights["expand/kernel"], "bias": weights["expand/bias"]},
        middle,
    )


class Window:
    """Geometry and activation of one convolution inside a light one."""

    lora, groups = None, 1

    def __init__(self, layer: Any, strides: tuple[int, int], activation: str | None) -> None:
        self.kernel_size, self.padding = layer.kernel_size, layer.padding
        self.strides, self.activation = strides, activation


def dense(layer: Any, weights: Values, x: Array) -> Array:
    return activate(affine(layer.lora, weights, "", x), layer.activation)


def affine(lora: Any, weights: Values, prefix: str, x: Array) -> Array:
    """x W + b, and LoRA's (alpha / rank) (x A) B where the layer has it."""
    result = x @ weights[f"{prefix}kernel"] + weights.get(f"{prefix}bias", 0)
    if f"{prefix}lora/a/kernel" not in weights:
        return result
    a, b = weights[f"{prefix}lora/a/kernel"], weights[f"{prefix}lora/b/kernel"]
    return result + (x @ a) @ b * (lora.alpha / lora.rank)


def light_dense(layer: Any, weights: Values, x: Array) -> Array:
    s = np.sqrt(2 / layer.units) if layer.scale == "reference" else 1.0
    result = (x @ (weights["reduce/kernel"] * s)) @ (weights["expand/kernel"] * s)
    return activate(result + weights["expand/bias"], layer.activation)


def learned_tokens(layer: Any, weights: Values, x: Array) -> Array:
    learned = np.stack([weights["embedding"]] * len(x))
    return np.concatenate([x[:, : layer.place], learned, x[:, layer.place :]], axis=1)


def position_embedding(layer: Any, weights: Values, x: Array) -> Array:
    return x + weights["embedding"]


def self_attention(layer: Any, weights: Values, x: Array) -> Array:
    """Head by head: each has its share of the channels, and its own softmax over the keys."""
    query, key, value = (
        affine(layer.lora, weights, f"{part}/", x) for part in ("query", "key", "value")
    )
    width = x.shape[-1] // layer.heads
    heads = []
    for start in range(0, x.shape[-1], width):
        own = slice(start, start + width)
        scores = query[..., own] @ key[..., own].transpose(0, 2, 1) / np.sqrt(width)
        # The largest is taken out, so that no exponential overflows.
        shifted = np.exp(scores - scores.real.max(axis=-1, keepdims=True))
        heads.append(shifted / shifted.sum(axis=-1, keepdims=True) @ value[..., own])
    mixed = np.concatenate(heads, axis=-1)
    return affine(layer.lora, weights, "projection/", mixed)


def to_map(layer: Any, x: Array) -> Array:
    return x[:, layer.skipped :].reshape(len(x), layer.height, layer.width, x.shape[-1])


def nearest_neighbours(layer: Any, weights: Values, x: Array) -> Array:
    """Image by image: who votes, how much each vote weighs, and the share of each class."""
    stored, place = weights["features"], weights["rank"]
    logits = []
    for vector in x:
        square = (vector * vector).sum()
        if layer.metric == "cosine":
            similarities, tie = stored @ vector / np.sqrt(square), 1e-6
        else:
            similarities = 2 * (stored @ vector) - (stored * stored).sum(axis=1)
            tie = 1e-6 * square.real
        nearest = np.sort(similarities.real)[::-1][: len(place)]
        last = min((nearest * place).sum(), nearest[0])
        voters = np.flatnonzero(similarities.real >= last - tie)
        weight = np.exp(layer.sharpness * (similarities[voters] - nearest[0]))
        shares = weight @ weights["labels"][voters] / weight.sum()
        count = len(voters)
        logits.append(np.log((count * shares + 1 / layer.units) / (count + 1)))
    return np.array(logits)


def batch_norm(layer: Any, weights: Values, x: Array, training: bool) -> Array:
    """Training mode also moves the running statistics in `weights` (Bessel-corrected variance).

    One value has no such variance: the running one stays.
    """
    channels = x.shape[-1]
    gamma, beta = weights.get("gamma", np.ones(channels)), weights.get("beta", np.zeros(channels))
    if not training:
        mean, variance = weights["moving_mean"], weights["moving_variance"]
    else:
        flat = x.reshape(-1, channels)
        mean = flat.sum(axis=0) / len(flat)
        squares = ((flat - mean) * (flat - mean)).sum(axis=0)
        variance = squares / len(flat)
        batch = {"moving_mean": mean}
        if len(flat) > 1:
            batch["moving_variance"] = squares / (len(flat) - 1)
        for name, value in batch.items():
            weights[name] = layer.momentum * weights[name] + (1 - layer.momentum) * value
    return gamma * (x - mean) / np.sqrt(variance + layer.epsilon) + beta


def layer_norm(layer: Any, weights: Values, x: Array) -> Array:
    mean = x.sum(axis=-1, keepdims=True) / x.shape[-1]
    variance = ((x - mean) * (x - mean)).sum(axis=-1, keepdims=True) / x.shape[-1]
    return weights["gamma"] * (x - mean) / np.sqrt(variance + layer.epsilon) + weights["beta"]


def pool2d(layer: Any, x: Array) -> Array:
    """Padding never wins a maximum; an average counts it only where the layer says so."""
    found, height, width = windows(x, layer, -np.inf if layer.mode == "max" else 0)
    flat = found.reshape(*found.shape[:2], -1, found.shape[-1])
    if layer.mode == "max":
        best = flat.real.argmax(axis=2)[:, :, None]
        return as_map(np.take_along_axis(flat, best, axis=2)[:, :, 0], height, width)
    counted, _, _ = windows(np.ones_like(x.real), layer, 1 if layer.count_padding else 0)
    counts = counted.reshape(flat.shape).sum(axis=2)
    return as_map(flat.sum(axis=2) / counts, height, width)


def global_pool(layer: Any, x: Array) -> Array:
    flat = x.reshape(len(x), -1, x.shape[-1])
    if layer.mode == "average":
        pooled = flat.sum(axis=1) / flat.shape[1]
    else:
        best = flat.real.argmax(axis=1)[:, None]
        pooled = np.take_along_axis(flat, best, axis=1)[:, 0]
    return pooled[:, None, None] if layer.keep_axes else pooled


def dropout(layer: Any, x: Array, kept: Array | None) -> Array:
    return x if kept is None else np.where(kept, x / (1 - layer.rate), 0)


def stochastic_depth(layer: Any, x: Array, kept: Array | None, training: bool) -> Array:
    """A branch that is worth `survival` of itself, on average over training or in evaluation."""
    if not training:
        return x * (layer.survival if layer.scaling == "test" else 1)
    kept_part = x if kept is None else np.where(kept, x, 0)
    return kept_part / (layer.survival if layer.scaling == "train" else 1)


def apply_layer(
    layer: Any, weights: Values, inputs: list[Array], kept: Array | None, training: bool
) -> Array:
    """One layer; `weights` are its own, under names relative to it."""
    x = inputs[0]
    if layer.kind in WEIGHTED:
        return WEIGHTED[layer.kind](layer, weights, x)
    return {
        "batch_norm": lambda: batch_norm(layer, weights, x, training),
        "activation": lambda: activate(x, layer.activation),
        "pool2d": lambda: pool2d(layer, x),
        "global_pool": lambda: global_pool(layer, x),
        "flatten": lambda: x.reshape(len(x), -1),
        "to_tokens": lambda: x.reshape(len(x), -1, x.shape[-1]),
        "to_map": lambda: to_map(layer, x),
        "take_token": lambda: x[:, layer.place],
        "mean_tokens": lambda: x[:, layer.skipped :].sum(axis=1) / (x.shape[1] - layer.skipped),
        "dropout": lambda: dropout(layer, x, kept if training else None),
        "stochastic_depth": lambda: stochastic_depth(layer, x, kept, training),
        "multiply": lambda: inputs[0] * inputs[1],
        "scaled_add": lambda: inputs[0] + layer.scale * inputs[1],
        "highway": lambda: inputs[1] * inputs[2] + inputs[0] * (1 - inputs[2]),
        "add": lambda: np.sum(inputs, axis=0),
        "concatenate": lambda: np.concatenate(inputs, axis=-1),
    }[layer.kind]()


WEIGHTED = {
    "conv2d": conv2d,
    "depthwise_conv2d": depthwise_conv2d,
    "separable_conv2d": separable_conv2d,
    "dense": dense,
    "pointwise_conv2d": dense,
    "layer_norm": layer_norm,
    "layer_scale": lambda layer, weights, x: x * weights["gamma"],
    "light_conv2d": light_conv2d,
    "light_dense": light_dense,
    "learned_tokens": learned_tokens,
    "position_embedding": position_embedding,
    "self_attention": self_attention,
    "nearest_neighbours": nearest_neighbours,
}


def apply_network(
    network: Any,
    weights: Mapping[str, Array],
    images: Array,
    noise: Mapping[str, Array] | None = None,
    training: bool = False,
) -> tuple[Array, Values]:
    """The network's output, and its weights after the pass (running statistics moved)."""
    values, after = all_values(network, weights, images, noise, training)
    return values[network.output], after


def all_values(
    network: Any,
    weights: Mapping[str, Array],
    images: Array,
    noise: Mapping[str, Array] | None = None,
    training: bool = False,
    given: Mapping[str, Array] | None = None,
) -> tuple[Values, Values]:
    """Every node's output, and the weights after the pass; `given` outputs stand as they are."""
    after: Values = dict(weights)
    values = {"images": images, **(given or {})}
    for node in network.nodes:
        if node.name in values:
            continue
        own = {name[len(node.name) + 1 :]: after[name] for name in names_of(node)}
        inputs = [values[name] for name in node.inputs]
        values[node.name] = apply_layer(
            node.layer, own, inputs, (noise or {}).get(node.name), training
        )
        after.update({f"{node.name}/{name}": value for name, value in own.items()})
    return values, after


def names_of(node: Any) -> list[str]:
    return [parameter.name for parameter in node.parameters]


def cross_entropy(logits: Array, labels: Array) -> Array:
    """-log softmax(logits)[label], (N,)."""
    shifted = logits - logits.real.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]


def differentiate(function: Any, arrays: Mapping[str, Array]) -> Values:
    """Gradient of a scalar function of named arrays, by one complex step an element."""
    step = 1e-30
    gradients = {}
    for name, array in arrays.items():
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            moved = array.astype(np.complex128)
            moved[index] += 1j * step
            gradient[index] = np.imag(function({**arrays, name: moved})) / step
        gradients[name] = gradient
    return gradients
