"""Layers of vectors, and layers that keep the shape of maps, in Keras.

Maps are (N, H, W, C), kernels HWIO. Layers take `in_channels` and explicit padding, and create
their variables at once. The values come from `shared`.
"""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from poc.tf_impl.ranks.batch_norm import normalize_by_ranks
from poc.tf_impl.ranks.collectives import current_step

from .batch_norm import batch_norm, normalize_by_batch, normalize_by_moving, update_moving
from .declared import Declared, _naming
from .lora import LowRank

# Not `tf.nn.gelu`, whose constants have float32's digits in float64 too.


def _gelu(inputs: tf.Tensor) -> tf.Tensor:
    """Return x * Phi(x), with Phi the normal distribution: (N, …) -> (N, …)."""
    return 0.5 * inputs * (1 + tf.math.erf(inputs * math.sqrt(0.5)))


def _gelu_tanh(inputs: tf.Tensor) -> tf.Tensor:
    """Return its approximation by a hyperbolic tangent: (N, …) -> (N, …)."""
    inner = math.sqrt(2 / math.pi) * inputs * (1 + 0.044715 * tf.square(inputs))
    return 0.5 * inputs * (1 + tf.tanh(inner))


ACTIVATIONS = {
    None: tf.identity,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "swish": tf.nn.silu,
    "hard_swish": lambda inputs: inputs * (tf.nn.relu6(inputs + 3) / 6),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "sigmoid": tf.nn.sigmoid,
    "hard_sigmoid": lambda inputs: tf.nn.relu6(inputs + 3) / 6,
    "softmax": tf.nn.softmax,
    "tanh": tf.nn.tanh,
}


class Dense(Declared):
    """Affine map of the last axis with an activation: (N, …, in) -> (N, …, out).

    `lora` is the rank and the factor of a trained low-rank term of the kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        use_bias: bool = True,
        activation: str | None = None,
        lora: tuple[int, float] | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.kernel = _create(self, "kernel", (in_channels, out_channels))
        self.bias = _create(self, "bias", (out_channels,)) if use_bias else None
        self.activation = activation
        self.lora: LowRank | None = None
        if lora is not None:
            rank, scale = lora
            a = Dense(in_channels, rank, use_bias=False, dtype=dtype)
            b = Dense(rank, out_channels, use_bias=False, dtype=dtype)
            with _naming("lora", self):
                self.lora = LowRank(a, b, scale=scale, dtype=dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply by the kernel (in, out), add the bias (out,), activate."""
        # One product for all tokens: a product per image would read the kernel for each.
        outputs = tf.tensordot(inputs, self.kernel, 1)
        if self.bias is not None:
            outputs = _add_bias(outputs, self.bias)
        if self.lora is not None:
            outputs += self.lora(inputs)
        return ACTIVATIONS[self.activation](outputs)


class BatchNorm(Declared):
    """Batch normalisation over all axes but the last; `momentum` is the share that is kept.

    The running variance divides by n - 1, or by n without `corrects_variance`.
    """

    # Not `keras.layers.BatchNormalization`: it does not correct the variance, and its second
    # derivative is wrong. TensorFlow's fused operation has both right (docs/fairness.md). It
    # refuses float64, for which the formula is written out.

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        scale: bool = True,
        center: bool = True,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.gamma = _create(self, "gamma", (channels,)) if scale else None
        self.beta = _create(self, "beta", (channels,)) if center else None
        self.moving_mean = _create(self, "moving_mean", (channels,), trainable=False)
        self.moving_variance = _create(self, "moving_variance", (channels,), trainable=False)
        self.momentum, self.epsilon = momentum, epsilon
        self.corrects_variance = True
        self.adapts = False

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalise (N, H, W, C) or (N, C) by the batch (training) or by running statistics."""
        values = (inputs, self.gamma, self.beta, self.moving_mean, self.moving_variance)
        # Keras' convention: a frozen norm keeps its statistics in training too. A run may want them
        # to adapt all the same (`bn_mode`).
        if training and (self.trainable or self.adapts):
            rates = {"momentum": self.momentum, "epsilon": self.epsilon}
            if step := current_step():
                return normalize_by_ranks(inputs, values[1:3], values[3:], step, **rates)
            if not self.corrects_variance:
                return self._normalize_uncorrected(inputs)
            return normalize_by_batch(*values, **rates)
        return normalize_by_moving(*values, epsilon=self.epsilon)

    def normalize(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Normalise by the batch; return outputs, mean (C,) and Bessel-corrected variance (C,)."""
        return batch_norm(inputs, self.gamma, self.beta, self.epsilon)

    def _normalize_uncorrected(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise by the batch; the variance (C,) that is collected divides by n, as Keras'."""
        outputs, mean, variance = self.normalize(inputs)
        count = tf.cast(tf.size(inputs) / inputs.shape[-1], variance.dtype)
        update_moving(self.moving_mean, mean, self.momentum)
        update_moving(self.moving_variance, variance * ((count - 1) / count), self.momentum)
        return outputs


class Activation(Declared):
    """An activation as a layer of its own: (N, …) -> (N, …)."""

    def __init__(self, activation: str, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.activation = activation

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Apply the activation to every value of (N, …); softmax to the channels."""
        return ACTIVATIONS[self.activation](inputs)


class Flatten(Declared):
    """Flattening: (N, H, W, C) -> (N, H * W * C), channels fastest."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Flatten maps (N, H, W, C) to vectors (N, H * W * C)."""
        return tf.reshape(inputs, (-1, int(np.prod(inputs.shape[1:]))))


class Dropout(Declared):
    """Inverted dropout with masks (N, …) bool that are true where a value is kept.

    Spatial dropout drops channels: its masks are (N, 1, …, C).
    """

    def __init__(self, rate: float, *, is_spatial: bool = False, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.rate, self.is_spatial = rate, is_spatial
        self.seed_generator = keras.random.SeedGenerator()

    def call(
        self, inputs: tf.Tensor, kept: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        """Drop values of (N, …) and rescale the others; in training draw the mask if none is given.

        Without a mask, evaluation returns the inputs.
        """
        if kept is None and training and self.rate > 0:
            shape = tf.shape(inputs)
            ones = [1] * (inputs.shape.rank - 2)
            kept = _draw_mask(self, [shape[0], *ones, shape[-1]] if self.is_spatial else shape)
        if kept is None:
            return inputs
        return inputs * (tf.cast(kept, inputs.dtype) / (1 - self.rate))


def _create(
    layer: keras.layers.Layer, name: str, shape: tuple[int, ...], *, trainable: bool = True
) -> keras.Variable:
    """Create a variable of zeros, whose values come from `shared`."""
    # In mixed precision only kernels are cast to the type that the layer computes in: biases and
    # statistics are added up in float32.
    return layer.add_weight(
        shape=shape,
        name=name,
        initializer="zeros",
        trainable=trainable,
        autocast=name == "kernel",
    )


def _draw_mask(layer: Any, shape: Any) -> tf.Tensor:
    """Draw a mask of a shape that is false with the layer's rate."""
    # Keras' generator rather than `tf.random.uniform`, whose numbers under XLA no seed repeats.
    return keras.random.uniform(shape, dtype="float32", seed=layer.seed_generator) >= layer.rate


def _add_bias(maps: tf.Tensor, bias: keras.Variable) -> tf.Tensor:
    """Add a bias (C,) to maps (N, …, C) of its type or a lower one."""
    # The CPU's gradient of `bias_add` sums in bfloat16, where a sum of ones ends at 256. Here it is
    # summed in the type of the bias.
    if maps.dtype == bias.dtype:
        return tf.nn.bias_add(maps, bias)

    @tf.custom_gradient
    def add(maps: tf.Tensor, bias: tf.Tensor) -> Any:
        def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            axes = tuple(range(maps.shape.rank - 1))
            return upstream, tf.reduce_sum(tf.cast(upstream, bias.dtype), axes)

        return tf.nn.bias_add(maps, tf.cast(bias, maps.dtype)), backward

    return add(maps, tf.convert_to_tensor(bias))


KINDS: dict[str, type[Declared]] = {
    "activation": Activation,
    "batch_norm": BatchNorm,
    "dense": Dense,
    "dropout": Dropout,
    "flatten": Flatten,
}
