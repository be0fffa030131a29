"""Batch norm over the batches of all ranks, in TensorFlow.

Each rank has a part of the batch. The mean is the sum over all ranks by their count, and the
variance is that of the squared deviations from this mean, as one process has it. Backward, the two
sums over examples that the gradient of an input needs are added up over all ranks too. Gradients of
gamma and beta stay those of this rank's part, like all gradients of weights.

Where the gradient is differentiated again, the formula is written out, and its sums over ranks have
derivatives of any order.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from .collectives import RankedStep, sum_over_ranks, sum_through

_Outputs = tuple[tf.Tensor, ...]
_Backward = Callable[..., _Outputs]


def normalize_by_ranks(
    inputs: tf.Tensor,
    affine: tuple[tf.Tensor | None, tf.Tensor | None],
    moving: tuple[keras.Variable, keras.Variable],
    step: RankedStep,
    *,
    momentum: float,
    epsilon: float,
) -> tf.Tensor:
    """Normalise (N, H, W, C) or (N, C) by the batches of all ranks, and update the moving (C,).

    `affine` are gamma (C,) and beta (C,), None for 1 and 0; `moving` are the mean and the variance.
    With one value per channel over all ranks the output is beta, and the moving variance stays.
    """
    (gamma, beta), (moving_mean, moving_variance) = affine, moving
    channels, normalize = inputs.shape[-1], _write_out if step.is_twice else _normalize
    dtype = tf.float64 if inputs.dtype == tf.float64 else tf.float32
    gamma = tf.ones(channels, dtype) if gamma is None else tf.convert_to_tensor(gamma)
    beta = tf.zeros(channels, dtype) if beta is None else tf.convert_to_tensor(beta)
    outputs, mean, variance, count = normalize(inputs, gamma, beta, step.share, epsilon)
    corrected = variance * (count / tf.maximum(count - 1, 1))
    # Chosen on the device, which the host does not wait for.
    corrected = tf.where(count > 1, corrected, tf.convert_to_tensor(moving_variance))
    for kept, batch in ((moving_mean, mean), (moving_variance, corrected)):
        kept.assign(kept * momentum + batch * (1 - momentum))
    return outputs


def _write_out(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, share: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    axes = tuple(range(inputs.shape.rank - 1))
    maps, weight = tf.cast(inputs, gamma.dtype), tf.cast(share > 0, gamma.dtype)
    count = sum_over_ranks(weight * (inputs.shape.num_elements() // inputs.shape[-1]))
    mean = sum_through(weight * tf.reduce_sum(maps, axes)) / count
    centred = maps - mean
    variance = sum_through(weight * tf.reduce_sum(tf.square(centred), axes)) / count
    outputs = beta + centred * tf.math.rsqrt(variance + epsilon) * gamma
    constants = (tf.stop_gradient(mean), tf.stop_gradient(variance), count)
    return tf.cast(outputs, inputs.dtype), *constants


def _normalize(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, share: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    axes = tuple(range(inputs.shape.rank - 1))
    weight = tf.cast(share > 0, gamma.dtype)

    @tf.custom_gradient
    def forward(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tuple[_Outputs, _Backward]:
        maps = tf.cast(inputs, gamma.dtype)
        own = weight * (inputs.shape.num_elements() // inputs.shape[-1])
        total = sum_over_ranks(tf.concat([weight * tf.reduce_sum(maps, axes), own[None]], 0))
        count = total[-1]
        mean = total[:-1] / count
        centred = maps - mean
        variance = sum_over_ranks(weight * tf.reduce_sum(tf.square(centred), axes)) / count
        inverse = tf.math.rsqrt(variance + epsilon)
        # Factors of a channel are joined first: each operation on maps reads all of their memory.
        outputs = tf.cast(centred * (gamma * inverse) + beta, inputs.dtype)

        def backward(upstream: tf.Tensor, *_: tf.Tensor) -> _Outputs:
            upstream = tf.cast(upstream, gamma.dtype)
            # A stand-in has a loss of 0, which gives it a gradient of 0 here; nor is it in the
            # statistics.
            sums = [
                tf.reduce_sum(upstream, axes),
                inverse * tf.reduce_sum(upstream * centred, axes),
            ]
            mean_g, mean_gz = tf.unstack(sum_over_ranks(tf.stack(sums)) / count)
            scale = weight * gamma * inverse
            shifted = upstream * scale - scale * mean_g
            to_inputs = shifted - centred * (scale * inverse * mean_gz)
            return tf.cast(to_inputs, inputs.dtype), sums[1], sums[0]

        return (outputs, mean, variance, count), backward

    return forward(inputs, gamma, beta)
