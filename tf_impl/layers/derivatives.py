"""Second derivatives of convolutions in TensorFlow, and the switch for efficient ones.

TensorFlow's convolutions have registered second derivatives that run the same kernels. Layers call
`batch_norm`, whose second derivatives are efficient. The switch therefore has nothing to exchange.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

# Calls of functions that replace the framework's. There are none: tests read 0 here.
CALLS = {"convolution": 0, "convolution_twice": 0}


def channel_products(maps: tf.Tensor) -> tf.Tensor:
    """Return products of all pairs of channels, summed over pixels: (N, P, C) -> (N, C, C)."""
    # The general rule of a product takes two products and adds. The gradient of a product with
    # itself is one.
    return _channel_products(maps)


@contextmanager
def efficient_second_order(*, linear_only: bool = False) -> Iterator[None]:
    """Do nothing: every layer's second derivatives are efficient, inside and outside."""
    yield


@tf.custom_gradient
def _channel_products(maps: tf.Tensor) -> Any:
    def backward(upstream: tf.Tensor) -> tf.Tensor:
        return maps @ (upstream + tf.linalg.matrix_transpose(upstream))

    return tf.matmul(maps, maps, transpose_a=True), backward
