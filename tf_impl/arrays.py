"""The border with NumPy: arrays into TensorFlow and back. Layouts agree, so no axis moves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from poc.shared.engine.backend import Extras
from poc.shared.engine.numerics.noise import Noise


def images_to_tensor(
    images: NDArray[Any], *, dtype: str, device: str, layout: str = "channels_last"
) -> tf.Tensor:
    """Return images (N, H, W, C) as a tensor (N, H, W, C).

    `layout` exists for the mirror: TensorFlow's CPU kernels know `channels_last` alone.
    """
    return tf.cast(copy_to_device(images, device), dtype)


def labels_to_tensor(labels: NDArray[Any], *, dtype: str, device: str) -> tf.Tensor:
    """Return labels (N,) int64, or soft ones (N, num_classes) in the images' type."""
    tensor = copy_to_device(labels, device)
    # Soft labels meet the logits in one product, which needs one type; class indices do not.
    return tensor if labels.ndim == 1 else tf.cast(tensor, dtype)


def rate_to_tensor(learning_rate: float) -> tf.Tensor | float:
    """Return a learning rate as the update takes it: () float64."""
    # A Python number would be a constant of the graph: each new rate would trace it again.
    return tf.constant(learning_rate, tf.float64)


def noise_to_tensors(noise: Noise, *, device: str) -> dict[str, tf.Tensor]:
    """Return masks (N, …) under the names of their layers."""
    return {name: copy_to_device(mask, device) for name, mask in noise.items()}


def extras_to_tensors(extras: Extras, *, dtype: str, device: str) -> dict[str, tf.Tensor]:
    """Return kept outputs (N, …) and scalars (), in the type of the losses."""
    return {name: tf.cast(copy_to_device(value, device), dtype) for name, value in extras.items()}


def copy_to_device(values: NDArray[Any], device: str) -> tf.Tensor:
    """Return a tensor with the array's shape (…) and values."""
    # Not pinned by hand, as in PyTorch: TensorFlow's runtime stages its copies itself.
    with tf.device(device):
        return tf.constant(values)


def map_to_array(tensors: Mapping[str, tf.Tensor]) -> dict[str, NDArray[np.floating]]:
    """Return tensors as arrays of the same shapes: maps are (N, H, W, C)."""
    return {name: np.asarray(tensor) for name, tensor in tensors.items()}
