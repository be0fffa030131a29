"""Pools in Keras: over windows, and over the entire map."""

import tensorflow as tf

from poc.shared.spec.networks.layers import Pads

from .convolution import NO_PADS, _pad, _padding
from .declared import Declared


class Pool2D(Declared):
    """Maximum or average over windows: (N, H, W, C) -> (N, H', W', C).

    With `count_padding`, padded zeros count like pixels.
    """

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
        """Pool windows of maps (N, H, W, C)."""
        if self.mode == "max":
            padding = _padding(self.pads, inputs.shape, self.kernel_size, self.strides)
            # TensorFlow's own padding never wins a maximum. Zeros that count, and pads without a
            # name, are added before the pool.
            if self.count_padding or not isinstance(padding, str):
                lowest = 0 if self.count_padding else inputs.dtype.min
                inputs, padding = _pad(inputs, self.pads, lowest), "VALID"
            return tf.nn.max_pool2d(inputs, self.kernel_size, self.strides, padding)
        # Padded zeros add nothing to the sum; below, the divisor leaves them out too.
        padded = _pad(inputs, self.pads, 0)
        means = tf.nn.avg_pool2d(padded, self.kernel_size, self.strides, "VALID")
        if self.count_padding or self.pads == NO_PADS:
            return means
        ones = _pad(tf.ones_like(inputs[:1, :, :, :1]), self.pads, 0)
        return means / tf.nn.avg_pool2d(ones, self.kernel_size, self.strides, "VALID")


class GlobalPool(Declared):
    """Mean or maximum over height and width: (N, H, W, C) -> (N, C), or (N, 1, 1, C)."""

    def __init__(
        self, *, mode: str = "average", keep_axes: bool = False, dtype: str = "float32"
    ) -> None:
        super().__init__(dtype=dtype)
        self.mode, self.keep_axes = mode, keep_axes

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pool all pixels of maps (N, H, W, C)."""
        if self.mode != "average":
            return tf.reduce_max(inputs, axis=(1, 2), keepdims=self.keep_axes)
        # TensorFlow's sums of a lower type round after each addition, other layers at the end only.
        values = tf.cast(inputs, self.variable_dtype)
        return tf.cast(tf.reduce_mean(values, (1, 2), keepdims=self.keep_axes), inputs.dtype)
