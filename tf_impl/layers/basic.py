"""Layers in Keras: one class for each kind that `poc.shared.spec.networks.layers` declares.

Maps are (N, H, W, C), kernels HWIO. Layers take `in_channels` and explicit padding, and create
their variables at once; values come from the shared layer.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from poc.shared.spec.networks.layers import Pads, Shape, same_pads

from .batch_norm import batch_norm, normalize_by_batch, normalize_by_moving

NO_PADS: Pads = ((0, 0), (0, 0))
# On the CPU the gradients of a convolution that pads by itself, other than `SAME`, are slow from so
# many channels on: up to six times as slow as those of a padded map (benchmarks/padding.py).
_MAX_PADDING_CHANNELS = 64
ACTIVATIONS = {
    None: tf.identity,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "swish": tf.nn.silu,
    "sigmoid": tf.nn.sigmoid,
    "softmax": tf.nn.softmax,
    "tanh": tf.nn.tanh,
}


class Conv2D(keras.layers.Layer):
    """Convolution with explicit padding: (N, H, W, in) -> (N, H', W', out)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int] = (1, 1),
        pads: Pads = NO_PADS,
        groups: int = 1,
        use_bias: bool = True,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        shape = (*kernel_size, in_channels // groups, out_channels)
        self.kernel = _create(self, "kernel", shape)
        self.bias = _create(self, "bias", (out_channels,)) if use_bias else None
        self.strides, self.pads, self.activation = strides, pads, activation
        is_cpu = not tf.config.list_logical_devices("GPU")
        # On the CPU TensorFlow has no gradient of a grouped convolution.
        self.splits = groups if is_cpu else 1
        self.pads_first = is_cpu and shape[2] > _MAX_PADDING_CHANNELS

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve, add the bias, activate."""
        padding = _padding(self.pads, inputs.shape, self.kernel.shape[:2], self.strides)
        if self.pads_first and not isinstance(padding, str):
            inputs, padding = _pad(inputs, self.pads, 0), "VALID"
        if self.splits == 1:
            outputs = tf.nn.conv2d(inputs, self.kernel, self.strides, padding)
        else:
            parts = [tf.split(value, self.splits, axis=-1) for value in (inputs, self.kernel.value)]
            maps = [tf.nn.conv2d(*part, self.strides, padding) for part in zip(*parts, strict=True)]
            outputs = tf.concat(maps, axis=-1)
        if self.bias is not None:
            outputs = _add_bias(outputs, self.bias)
        return ACTIVATIONS[self.activation](outputs)


class DepthwiseConv2D(keras.layers.Layer):
    """One filter for each channel: (N, H, W, C) -> (N, H', W', C)."""

    def __init__(
        self,
        channels: int,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int] = (1, 1),
        pads: Pads = NO_PADS,
        use_bias: bool = True,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.kernel = _create(self, "kernel", (*kernel_size, channels, 1))
        self.bias = _create(self, "bias", (channels,)) if use_bias else None
        self.strides, self.pads, self.activation = strides, pads, activation

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve each channel, add the bias, activate."""
        padding = _padding(self.pads, inputs.shape, self.kernel.shape[:2], self.strides)
        outputs = tf.nn.depthwise_conv2d(inputs, self.kernel, (1, *self.strides, 1), padding)
        if self.bias is not None:
            outputs = _add_bias(outputs, self.bias)
        return ACTIVATIONS[self.activation](outputs)


class SeparableConv2D(keras.layers.Layer):
    """Depthwise convolution, then 1x1 convolution with the only bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int] = (1, 1),
        pads: Pads = NO_PADS,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.depthwise = DepthwiseConv2D(
            in_channels, kernel_size, strides=strides, pads=pads, use_bias=False, dtype=dtype
        )
        self.pointwise = Conv2D(
            in_channels, out_channels, (1, 1), activation=activation, dtype=dtype
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Depthwise, then pointwise."""
        return self.pointwise(self.depthwise(inputs))


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
    `keras.layers.BatchNormalization` does not (facts: parity, section 1). The op refuses float64,
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


class Pool2D(keras.layers.Layer):
    """Maximum or average over windows; `count_padding` lets padded zeros take part."""

    def __init__(
        self,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int],
        pads: Pads = NO_PADS,
        mode: str = "max",
        count_padding: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.kernel_size, self.strides, self.pads = kernel_size, strides, pads
        self.mode, self.count_padding = mode, count_padding

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pool."""
        if self.mode == "max":
            padding = _padding(self.pads, inputs.shape, self.kernel_size, self.strides)
            if self.count_padding or not isinstance(padding, str):
                lowest = 0 if self.count_padding else inputs.dtype.min
                inputs, padding = _pad(inputs, self.pads, lowest), "VALID"
            return tf.nn.max_pool2d(inputs, self.kernel_size, self.strides, padding)
        padded = _pad(inputs, self.pads, 0)
        means = tf.nn.avg_pool2d(padded, self.kernel_size, self.strides, "VALID")
        if self.count_padding or self.pads == NO_PADS:
            return means
        ones = _pad(tf.ones_like(inputs[:1, :, :, :1]), self.pads, 0)
        return means / tf.nn.avg_pool2d(ones, self.kernel_size, self.strides, "VALID")


class GlobalPool(keras.layers.Layer):
    """Mean or maximum over height and width: (N, H, W, C) -> (N, C), or (N, 1, 1, C)."""

    def __init__(
        self, *, mode: str = "average", keep_axes: bool = False, dtype: str = "float32"
    ) -> None:
        super().__init__(dtype=dtype)
        self.mode, self.keep_axes = mode, keep_axes

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pool."""
        if self.mode != "average":
            return tf.reduce_max(inputs, axis=(1, 2), keepdims=self.keep_axes)
        # Sums of lower types do not round once, at the end, as everywhere else.
        values = tf.cast(inputs, self.variable_dtype)
        return tf.cast(tf.reduce_mean(values, (1, 2), keepdims=self.keep_axes), inputs.dtype)


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


def _padding(
    pads: Pads, shape: tf.TensorShape, kernel_size: Shape, strides: tuple[int, int]
) -> str | list[tuple[int, int]]:
    """TensorFlow's name for these pads where it has one: explicit pads take 2.6 times as long."""
    if pads == NO_PADS:
        return "VALID"
    same = tuple(same_pads(shape[i + 1], kernel_size[i], strides[i]) for i in (0, 1))
    return "SAME" if pads == same else [(0, 0), *pads, (0, 0)]


def _pad(inputs: tf.Tensor, pads: Pads, value: Any) -> tf.Tensor:
    if pads == NO_PADS:
        return inputs
    return tf.pad(inputs, [(0, 0), *pads, (0, 0)], constant_values=value)
