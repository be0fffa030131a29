"""Second derivatives of convolution and batch norm in TensorFlow, once per layer kind.

TensorFlow's convolutions have registered second derivatives that run the same kernels. The fused
batch norm has one too, assembled from many element-wise operations; here its backward pass is a
function of its own, whose backward pass runs the fused kernel again. `tf.nn.moments` must not be
used: it holds the mean fixed in the variance, and its second derivative is silently wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

# How often each function was traced: a test reads it, since one never called fails silently.
CALLS = {"convolution": 0, "convolution_twice": 0, "batch_norm": 0, "batch_norm_twice": 0}


def batch_norm(
    inputs: tf.Tensor,
    gamma: tf.Tensor | None,
    beta: tf.Tensor | None,
    epsilon: float,
    *,
    linear_only: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Batch norm of maps or vectors, with efficient first and second derivatives.

    Args:
        inputs: (N, H, W, C) or (N, C).
        gamma: (C,), or none for 1.
        beta: (C,), or none for 0.
        epsilon: Added to the variance.
        linear_only: Only the part of the second derivative that is linear in the gradient from
            above is wanted; a graph leaves the rest out by itself.

    Returns:
        Outputs, batch mean (C,) and Bessel-corrected batch variance (C,); the last two are
        constants to the gradient.
    """
    channels = inputs.shape[-1]
    dtype = tf.float64 if inputs.dtype == tf.float64 else tf.float32
    gamma = tf.ones(channels, dtype) if gamma is None else tf.convert_to_tensor(gamma)
    beta = tf.zeros(channels, dtype) if beta is None else tf.convert_to_tensor(beta)
    CALLS["batch_norm"] += 1
    if inputs.dtype == tf.float64:
        return _written_out(inputs, gamma, beta, epsilon)
    outputs, mean, variance = _normalise(_as_maps(inputs), gamma, beta, epsilon)
    return tf.reshape(outputs, tf.shape(inputs)), mean, variance


def channel_products(maps: tf.Tensor) -> tf.Tensor:
    """Products of all pairs of channels, summed over pixels: (N, P, C) -> (N, C, C).

    The gradient of a product with itself is one product, where the general rule takes two and adds.
    """
    return _channel_products(maps)


@contextmanager
def efficient_second_order(*, linear_only: bool = False) -> Iterator[None]:
    """Nothing is exchanged: the layers call `batch_norm`, and convolutions are efficient as is."""
    yield


@tf.custom_gradient
def _channel_products(maps: tf.Tensor) -> Any:
    def backward(upstream: tf.Tensor) -> tf.Tensor:
        return maps @ (upstream + tf.linalg.matrix_transpose(upstream))

    return tf.matmul(maps, maps, transpose_a=True), backward


def _normalise(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    @tf.custom_gradient
    def forward(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        outputs, mean, variance, *reserved = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=epsilon,
            is_training=True,
        )
        constants = (mean, variance, reserved)

        def backward(upstream: tf.Tensor, *_: tf.Tensor) -> Any:
            return _gradient(upstream, inputs, gamma, constants, epsilon)

        return (outputs, mean, variance), backward

    return forward(inputs, gamma, beta)


def _gradient(
    upstream: tf.Tensor, inputs: tf.Tensor, gamma: tf.Tensor, constants: Any, epsilon: float
) -> Any:
    mean, variance, reserved = constants

    @tf.custom_gradient
    def forward(upstream: tf.Tensor, inputs: tf.Tensor, gamma: tf.Tensor) -> Any:
        found = _kernel(upstream, inputs, gamma, reserved, epsilon)
        _, sum_gz, sum_g = found

        def backward(for_inputs: tf.Tensor, for_gamma: tf.Tensor, for_beta: tf.Tensor) -> Any:
            """Derivatives of <u, r*gamma*P(g)> + <ug, sum(g*z)> + <ub, sum(g)>.

            z is the normalised input, r the inverse deviation and P(g) = g - mean(g) - z*mean(g*z),
            which is symmetric: r*P(u) is the backward kernel with gamma = 1. Nothing divides by
            gamma.
            """
            CALLS["batch_norm_twice"] += 1
            g, u, ug, ub = upstream, for_inputs, for_gamma, for_beta
            count = tf.cast(tf.size(inputs) / inputs.shape[-1], inputs.dtype)
            r = tf.math.rsqrt(variance * ((count - 1) / count) + epsilon)
            projected, sum_uz, _ = _kernel(u, inputs, tf.ones_like(gamma), reserved, epsilon)
            to_upstream = inputs * (ug * r) + projected * gamma + (ub - ug * mean * r)
            to_gamma = tf.reduce_sum(projected * g, (0, 1, 2))
            of_g = r * (ug - gamma * r * sum_uz / count)
            of_z = -(of_g * sum_gz + gamma * to_gamma * r) / count
            of_u = -gamma * r * sum_gz / count
            constant = -of_g * sum_g / count - of_z * r * mean
            to_inputs = inputs * (of_z * r) + g * of_g + projected * of_u + constant
            return to_upstream, to_inputs, to_gamma

        return found, backward

    return forward(upstream, inputs, gamma)


def _kernel(
    upstream: tf.Tensor, inputs: tf.Tensor, gamma: tf.Tensor, reserved: Any, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    to_inputs, to_gamma, to_beta, *_ = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=upstream,
        x=inputs,
        scale=gamma,
        reserve_space_1=reserved[0],
        reserve_space_2=reserved[1],
        reserve_space_3=reserved[2],
        epsilon=epsilon,
        is_training=True,
    )
    return to_inputs, to_gamma, to_beta


def _as_maps(inputs: tf.Tensor) -> tf.Tensor:
    return inputs if inputs.shape.rank == 4 else inputs[:, None, None, :]


def _written_out(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The formula with a live mean: the fused op refuses float64."""
    axes = tuple(range(inputs.shape.rank - 1))
    mean = tf.reduce_mean(inputs, axes)
    centred = inputs - mean
    variance = tf.reduce_mean(tf.square(centred), axes)
    outputs = centred * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    count = tf.cast(tf.size(inputs), inputs.dtype) / inputs.shape[-1]
    corrected = variance * (count / (count - 1))
    return outputs, tf.stop_gradient(mean), tf.stop_gradient(corrected)
