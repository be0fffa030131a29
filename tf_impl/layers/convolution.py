"""Convolutions in Keras: plain or grouped, depthwise, separable, pointwise."""

from functools import partial
from typing import Any

import tensorflow as tf

from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.window import Pads, same_pads

from .basic import ACTIVATIONS, Dense, _add_bias, _create
from .declared import Declared, _naming
from .lora import LowRank

NO_PADS: Pads = ((0, 0), (0, 0))
# With more input channels than these, the CPU's gradients of a convolution with explicit pads take
# up to six times as long as those of a map that was padded before (benchmarks/padding.py).
_MAX_PADDING_CHANNELS = 64


class Conv2D(Declared):
    """Convolution with explicit padding: (N, H, W, in) -> (N, H', W', out).

    `lora` is the rank per group and the factor of a trained low-rank term of the kernel.
    """

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
        lora: tuple[int, float] | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        shape = (*kernel_size, in_channels // groups, out_channels)
        self.kernel = _create(self, "kernel", shape)
        self.bias = _create(self, "bias", (out_channels,)) if use_bias else None
        self.strides, self.pads, self.activation = strides, pads, activation
        self.lora: LowRank | None = None
        if lora is not None:
            rank, scale = lora
            make = partial(Conv2D, groups=groups, use_bias=False, dtype=dtype)
            a = make(in_channels, groups * rank, kernel_size, strides=strides, pads=pads)
            b = make(groups * rank, out_channels, (1, 1))
            with _naming("lora", self):
                self.lora = LowRank(a, b, scale=scale, dtype=dtype)
        is_cpu = not tf.config.list_logical_devices("GPU")
        # On the CPU TensorFlow has no gradient of a grouped convolution: one convolution per group.
        self.splits = groups if is_cpu else 1
        self.pads_first = is_cpu and shape[2] > _MAX_PADDING_CHANNELS

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve (N, H, W, in) -> (N, H', W', out), add the bias, activate."""
        whole = inputs
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
        if self.lora is not None:
            outputs += self.lora(whole)
        return ACTIVATIONS[self.activation](outputs)


class DepthwiseConv2D(Declared):
    """Depthwise convolution, with one filter per channel: (N, H, W, C) -> (N, H', W', C)."""

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
        """Convolve each channel of (N, H, W, C), add the bias, activate."""
        padding = _padding(self.pads, inputs.shape, self.kernel.shape[:2], self.strides)
        outputs = tf.nn.depthwise_conv2d(inputs, self.kernel, (1, *self.strides, 1), padding)
        if self.bias is not None:
            outputs = _add_bias(outputs, self.bias)
        return ACTIVATIONS[self.activation](outputs)


class SeparableConv2D(Declared):
    """Depthwise, then 1x1 convolution with a bias: (N, H, W, in) -> (N, H', W', out)."""

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
        with _naming("depthwise", self):
            self.depthwise = DepthwiseConv2D(
                in_channels, kernel_size, strides=strides, pads=pads, use_bias=False, dtype=dtype
            )
        with _naming("pointwise", self):
            self.pointwise = Conv2D(
                in_channels, out_channels, (1, 1), activation=activation, dtype=dtype
            )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve (N, H, W, in) -> (N, H', W', out): depthwise, then pointwise."""
        return self.pointwise(self.depthwise(inputs))


class PointwiseConv2D(Dense):
    """1x1 convolution as a matrix product: (N, H, W, in) -> (N, H, W, out)."""

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
        super().__init__(
            in_channels,
            out_channels,
            use_bias=use_bias,
            activation=activation,
            lora=lora,
            dtype=dtype,
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply the channels of (N, H, W, in), add the bias, activate."""
        # One product of all pixels: one per image would sum its gradient over the images.
        outputs = super().call(tf.reshape(inputs, (-1, inputs.shape[-1])))
        return tf.reshape(outputs, (-1, *inputs.shape[1:-1], outputs.shape[-1]))


def _padding(
    pads: Pads, shape: tf.TensorShape, kernel_size: Shape, strides: tuple[int, int]
) -> str | list[tuple[int, int]]:
    """Return TensorFlow's name for these pads, or the pads if it has none."""
    # Explicit pads take 2.6 times as long as a name.
    if pads == NO_PADS:
        return "VALID"
    same = tuple(same_pads(shape[i + 1], kernel_size[i], strides[i]) for i in (0, 1))
    return "SAME" if pads == same else [(0, 0), *pads, (0, 0)]


def _pad(inputs: tf.Tensor, pads: Pads, value: Any) -> tf.Tensor:
    if pads == NO_PADS:
        return inputs
    return tf.pad(inputs, [(0, 0), *pads, (0, 0)], constant_values=value)


KINDS: dict[str, type[Declared]] = {
    "conv2d": Conv2D,
    "depthwise_conv2d": DepthwiseConv2D,
    "pointwise_conv2d": PointwiseConv2D,
    "separable_conv2d": SeparableConv2D,
}
