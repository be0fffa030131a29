"""A bound on the global norm of a gradient, in TensorFlow."""

from collections.abc import Sequence

import keras
import tensorflow as tf

# PyTorch's, which also shortens a gradient whose norm is exactly the bound, by a millionth of 1.
_EPSILON = 1e-6


def clip_gradients(
    gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], clip_norm: float
) -> Sequence[tf.Tensor]:
    """Return gradients (…) times min(1, clip_norm / (norm + 1e-6)), with their global norm.

    Args:
        gradients: Those of the variables.
        variables: Those that the gradients are of.
        clip_norm: Largest norm.
    """
    # Not `tf.clip_by_global_norm`, which has no epsilon.
    factor = tf.minimum(clip_norm / (tf.linalg.global_norm(gradients) + _EPSILON), 1.0)
    return [gradient * factor for gradient in gradients]


def clip_natively(
    gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable], clip_norm: float
) -> Sequence[tf.Tensor]:
    """Return gradients (…) times min(1, clip_norm / norm), as Keras' `global_clipnorm`."""
    clipped: list[tf.Tensor] = tf.clip_by_global_norm(gradients, clip_norm)[0]
    return clipped
