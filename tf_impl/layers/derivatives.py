"""Second derivatives of convolution in TensorFlow, and how layers reach them and batch norm's.

TensorFlow's convolutions have registered second derivatives that run the same kernels, and layers
call `batch_norm`, whose are efficient: there is nothing to exchange.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

# Functions of this module that stood in for the framework's: none.
CALLS = {"convolution": 0, "convolution_twice": 0}


def channel_products(maps: tf.Tensor) -> tf.Tensor:
    """Products of all pairs of channels, summed over pixels: (N, P, C) -> (N, C, C).

    The gradient of a product with itself is one product, where the general rule takes two and adds.
    """
    return _channel_products(maps)


@contextmanager
def efficient_second_order(*, linear_only: bool = False) -> Iterator[None]:
    """Inside, every layer's second derivatives are efficient; outside, too."""
    yield


@tf.custom_gradient
def _channel_products(maps: tf.Tensor) -> Any:
    def backward(upstream: tf.Tensor) -> tf.Tensor:
        return maps @ (upstream + tf.linalg.matrix_transpose(upstream))

    return tf.matmul(maps, maps, transpose_a=True), backward
