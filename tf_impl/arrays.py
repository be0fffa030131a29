"""NumPy at the border: arrays into TensorFlow and back. Layouts agree, so nothing is moved."""

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
    """(N, H, W, C) array -> (N, H, W, C) tensor, in the only layout that a run may ask for."""
    return tf.cast(copy_to_device(images, device), dtype)


def labels_to_tensor(labels: NDArray[Any], *, dtype: str, device: str) -> tf.Tensor:
    """(N,) int64 or soft (N, num_classes) array -> tensor; soft ones take the images' type."""
    tensor = copy_to_device(labels, device)
    return tensor if labels.ndim == 1 else tf.cast(tensor, dtype)


def rate_to_tensor(learning_rate: float) -> tf.Tensor | float:
    """A learning rate as the update takes it, in float64."""
    return tf.constant(learning_rate, tf.float64)


def noise_to_tensors(noise: Noise, *, device: str) -> dict[str, tf.Tensor]:
    """Masks (N, …) under the names of their layers."""
    return {name: copy_to_device(mask, device) for name, mask in noise.items()}


def extras_to_tensors(extras: Extras, *, dtype: str, device: str) -> dict[str, tf.Tensor]:
    """Kept outputs (N, …) and scalars, in the type of the losses."""
    return {name: tf.cast(copy_to_device(value, device), dtype) for name, value in extras.items()}


def copy_to_device(values: NDArray[Any], device: str) -> tf.Tensor:
    """A tensor with the array's values; TensorFlow's runtime sees to pinned memory by itself."""
    with tf.device(device):
        return tf.constant(values)


def map_to_array(tensors: Mapping[str, tf.Tensor]) -> dict[str, NDArray[np.floating]]:
    """Tensors -> arrays, maps as (N, H, W, C)."""
    return {name: np.asarray(tensor) for name, tensor in tensors.items()}
