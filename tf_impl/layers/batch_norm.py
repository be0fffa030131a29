"""Batch norm in TensorFlow: its kernels, and first and second derivatives that run them again.

TensorFlow assembles the fused operation's second derivative from many element-wise operations.
Here the backward pass is a function of its own, whose backward pass runs the fused kernel again.
`tf.nn.moments` must not be used: it takes the mean in the variance for a constant, and its second
derivative is silently wrong.

With one value per channel the variance is 0 and the output beta; the moving variance, which would
be divided by n - 1 = 0, does not change.
"""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

# How often each function was traced. Tests read it: a function never called fails silently.
CALLS = {"batch_norm": 0, "batch_norm_twice": 0}
# float32 values in the widest vector register of a CPU. The fused operation's evaluation is slow
# for channels that do not fill such registers.
_VECTOR_WIDTH = 16


def normalize_by_batch(
    inputs: tf.Tensor,
    gamma: tf.Tensor | None,
    beta: tf.Tensor | None,
    moving_mean: keras.Variable,
    moving_variance: keras.Variable,
    *,
    momentum: float,
    epsilon: float,
) -> tf.Tensor:
    """Normalise (N, H, W, C) or (N, C) by the batch, and update the moving statistics (C,)."""
    outputs, mean, variance = batch_norm(inputs, gamma, beta, epsilon)
    update_moving(moving_mean, mean, momentum)
    if not holds_one_value(inputs):
        update_moving(moving_variance, variance, momentum)
    return outputs


def holds_one_value(inputs: tf.Tensor) -> bool:
    """Return True if the batch has a single value per channel, such as (1, C)."""
    return bool(inputs.shape.num_elements() == inputs.shape[-1])


def normalize_by_moving(
    inputs: tf.Tensor,
    gamma: tf.Tensor | None,
    beta: tf.Tensor | None,
    moving_mean: keras.Variable,
    moving_variance: keras.Variable,
    *,
    epsilon: float,
) -> tf.Tensor:
    """Normalise (N, H, W, C) or (N, C) by the moving statistics (C,), as in evaluation."""
    gamma, beta = _affine(inputs, gamma, beta)
    if inputs.dtype == tf.float64 or _is_uneven(inputs) or _refuses_gradient():
        # Faster for these channels, and the only way in float64, which the fused operation refuses.
        inverse = tf.math.rsqrt(moving_variance + epsilon) * gamma
        outputs = tf.cast(inputs, inverse.dtype) * inverse + (beta - moving_mean * inverse)
        return tf.cast(outputs, inputs.dtype)
    outputs, *_ = tf.raw_ops.FusedBatchNormV3(
        x=_as_maps(inputs),
        scale=gamma,
        offset=beta,
        mean=moving_mean,
        variance=moving_variance,
        epsilon=epsilon,
        is_training=False,
    )
    return tf.reshape(outputs, tf.shape(inputs))


def update_moving(moving: keras.Variable, batch: tf.Tensor, momentum: float) -> None:
    """Keep the share `momentum` of a moving statistic (C,); take the rest from the batch's (C,)."""
    moving.assign(moving * momentum + batch * (1 - momentum))


def batch_norm(
    inputs: tf.Tensor,
    gamma: tf.Tensor | None,
    beta: tf.Tensor | None,
    epsilon: float,
    *,
    linear_only: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalise maps or vectors by the batch, with efficient first and second derivatives.

    Args:
        inputs: (N, H, W, C) or (N, C).
        gamma: (C,), or None for 1.
        beta: (C,), or None for 0.
        epsilon: Added to the variance.
        linear_only: Only the part of the second derivative that is linear in the gradient from
            above is wanted. Without effect here: a graph leaves the rest out by itself.

    Returns:
        Outputs of the inputs' shape, batch mean (C,) and Bessel-corrected batch variance (C,). The
        gradient treats the last two as constants. The variance of one value is 0.
    """
    gamma, beta = _affine(inputs, gamma, beta)
    if holds_one_value(inputs):
        return _normalise_one_value(inputs, gamma, beta, epsilon)
    CALLS["batch_norm"] += 1
    if inputs.dtype == tf.float64:
        return _written_out(inputs, gamma, beta, epsilon)
    outputs, mean, variance = _normalise(_as_maps(inputs), gamma, beta, epsilon)
    return tf.reshape(outputs, tf.shape(inputs)), mean, variance


def _normalise_one_value(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return beta, the value itself and a variance of 0."""
    # TensorFlow's kernels disagree here from device to device. The difference x - x keeps the
    # gradient of the inputs, 0, which a constant would not have.
    outputs = tf.cast(inputs - inputs, gamma.dtype) * (gamma * epsilon**-0.5) + beta
    mean = tf.stop_gradient(tf.cast(tf.reshape(inputs, [-1]), gamma.dtype))
    return tf.cast(outputs, inputs.dtype), mean, tf.zeros_like(mean)


def _normalise(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    @tf.custom_gradient
    def forward(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        outputs, mean, variance, *reserved = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            # Empty: in training the operation takes no statistics.
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
            """Return the derivatives of <u, r*gamma*P(g)> + <ug, sum(g*z)> + <ub, sum(g)>.

            z is the normalised input, r the inverse deviation and P(g) = g - mean(g) - z*mean(g*z),
            which is symmetric: r*P(u) is the backward kernel with gamma = 1. Nothing divides by
            gamma.
            """
            CALLS["batch_norm_twice"] += 1
            g, u, ug, ub = upstream, for_inputs, for_gamma, for_beta
            count = tf.cast(tf.size(inputs) / inputs.shape[-1], inputs.dtype)
            # `variance` is Bessel-corrected; the kernel normalises by the uncorrected one.
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


def _affine(
    inputs: tf.Tensor, gamma: tf.Tensor | None, beta: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return gamma (C,) and beta (C,) in the type that the fused operation asks for."""
    channels = inputs.shape[-1]
    dtype = tf.float64 if inputs.dtype == tf.float64 else tf.float32
    gamma = tf.ones(channels, dtype) if gamma is None else tf.convert_to_tensor(gamma)
    beta = tf.zeros(channels, dtype) if beta is None else tf.convert_to_tensor(beta)
    return gamma, beta


def _is_uneven(inputs: tf.Tensor) -> bool:
    """Return True if evaluation by the formula takes less time (benchmarks/batch_norm.py)."""
    channels = inputs.shape[-1]
    return channels > _VECTOR_WIDTH and channels % _VECTOR_WIDTH != 0


def _refuses_gradient() -> bool:
    """Return True on a GPU under determinism: evaluation's fused gradient raises an error there."""
    return bool(is_op_determinism_enabled() and tf.config.list_logical_devices("GPU"))


def _as_maps(inputs: tf.Tensor) -> tf.Tensor:
    return inputs if inputs.shape.rank == 4 else inputs[:, None, None, :]


def _written_out(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalise by the formula: the fused operation refuses float64."""
    # The mean is part of the graph in the variance too, so that the second derivative is right.
    axes = tuple(range(inputs.shape.rank - 1))
    mean = tf.reduce_mean(inputs, axes)
    centred = inputs - mean
    variance = tf.reduce_mean(tf.square(centred), axes)
    outputs = centred * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    count = tf.cast(tf.size(inputs), inputs.dtype) / inputs.shape[-1]
    corrected = variance * (count / (count - 1))
    return outputs, tf.stop_gradient(mean), tf.stop_gradient(corrected)
