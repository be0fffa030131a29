"""Layers of vectors and those that keep the shape of maps, in Keras.

Maps are (N, H, W, C), kernels HWIO. Layers take `in_channels` and explicit padding, and create
their variables at once; values come from the shared layer.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .batch_norm import batch_norm, normalize_by_batch, normalize_by_moving

ACTIVATIONS = {
    None: tf.identity,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "swish": tf.nn.silu,
    "sigmoid": tf.nn.sigmoid,
    "softmax": tf.nn.softmax,
    "tanh": tf.nn.tanh,
}


class Dense(keras.layers.Layer):
    """Affine map: (N, in) -> (N, out)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        use_bias: bool = True,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.kernel = _create(self, "kernel", (in_channels, out_channels))
        self.bias = _create(self, "bias", (out_channels,)) if use_bias else None
        self.activation = activation

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply, add the bias, activate."""
        outputs = tf.linalg.matmul(inputs, self.kernel)
        if self.bias is not None:
            outputs = _add_bias(outputs, self.bias)
        return ACTIVATIONS[self.activation](outputs)


class BatchNorm(keras.layers.Layer):
    """Batch normalisation over all axes but the last.

    The fused op gives the Bessel-corrected variance and an exact second derivative, which
    `keras.layers.BatchNormalization` does not (docs/fairness.md). The op refuses float64,
    where the written-out formula stands in.
    """

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

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalise with the batch's statistics (training) or the running ones."""
        values = (inputs, self.gamma, self.beta, self.moving_mean, self.moving_variance)
        if training:
            return normalize_by_batch(*values, momentum=self.momentum, epsilon=self.epsilon)
        return normalize_by_moving(*values, epsilon=self.epsilon)

    def normalize(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Normalise with the batch's mean and Bessel-corrected variance, (C,), and give both."""
        return batch_norm(inputs, self.gamma, self.beta, self.epsilon)


class Activation(keras.layers.Layer):
    """An activation that stands alone."""

    def __init__(self, activation: str, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.activation = activation

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Activate."""
        return ACTIVATIONS[self.activation](inputs)


class Flatten(keras.layers.Layer):
    """(N, H, W, C) -> (N, H * W * C), channels fastest."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Flatten."""
        return tf.reshape(inputs, (-1, int(np.prod(inputs.shape[1:]))))


class Dropout(keras.layers.Layer):
    """Inverted dropout with a given mask, (N, …) bool, true where a value is kept."""

    def __init__(self, rate: float, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.rate = rate

    def call(self, inputs: tf.Tensor, kept: tf.Tensor | None = None) -> tf.Tensor:
        """Drop and rescale; without a mask (evaluation) the input passes."""
        if kept is None:
            return inputs
        return inputs * (tf.cast(kept, inputs.dtype) / (1 - self.rate))


def _create(
    layer: keras.layers.Layer, name: str, shape: tuple[int, ...], *, trainable: bool = True
) -> keras.Variable:
    """A variable without a draw: values come from the shared layer.

    In mixed precision kernels alone are cast to the type that the layer computes in.
    """
    return layer.add_weight(
        shape=shape,
        name=name,
        initializer="zeros",
        trainable=trainable,
        autocast=name == "kernel",
    )


def _add_bias(maps: tf.Tensor, bias: keras.Variable) -> tf.Tensor:
    """Maps of the bias' type or a lower one, plus the bias.

    The CPU's gradient of `bias_add` adds up in bfloat16: a sum of ones ends at 256. Here the
    gradient is summed in the bias' type.
    """
    if maps.dtype == bias.dtype:
        return tf.nn.bias_add(maps, bias)

    @tf.custom_gradient
    def add(maps: tf.Tensor, bias: tf.Tensor) -> Any:
        def backward(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            axes = tuple(range(maps.shape.rank - 1))
            return upstream, tf.reduce_sum(tf.cast(upstream, bias.dtype), axes)

        return tf.nn.bias_add(maps, tf.cast(bias, maps.dtype)), backward

    return add(maps, tf.convert_to_tensor(bias))
