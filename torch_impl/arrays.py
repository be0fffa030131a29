"""NumPy at the border: arrays into PyTorch and back. The only place that moves the channel axis."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.engine.backend import Extras
from poc.shared.engine.numerics.noise import Noise


def images_to_tensor(
    images: NDArray[Any], *, dtype: str, device: str, layout: str = "channels_last"
) -> torch.Tensor:
    """(N, H, W, C) array -> (N, C, H, W) tensor; on the CPU a channels-last view, no copy.

    In the layout `channels_first` it is a copy; convolutions keep the layout of what they read.
    """
    tensor = copy_to_device(images, device).to(getattr(torch, dtype)).permute(0, 3, 1, 2)
    if layout == "channels_last":
        return tensor
    # `contiguous` leaves a single channel as it is, and convolutions read it as channels-last.
    return tensor.clone(memory_format=torch.contiguous_format)


def labels_to_tensor(labels: NDArray[Any], *, dtype: str, device: str) -> torch.Tensor:
    """(N,) int64 or soft (N, num_classes) array -> tensor; soft ones take the images' type."""
    tensor = copy_to_device(labels, device)
    return tensor if labels.ndim == 1 else tensor.to(getattr(torch, dtype))


def rate_to_tensor(learning_rate: float) -> torch.Tensor | float:
    """A learning rate as the update takes it, in float64."""
    return learning_rate


def noise_to_tensors(noise: Noise, *, device: str) -> dict[str, torch.Tensor]:
    """Masks (N, …) under the names of their layers.

    A mask of one value decides what is computed: it stays on the host, where no one waits for it.
    """
    masks = {
        name: copy_to_device(mask, "cpu" if mask.shape == (1,) else device)
        for name, mask in noise.items()
    }
    return {
        name: mask.permute(0, 3, 1, 2) if mask.ndim == 4 else mask for name, mask in masks.items()
    }


def extras_to_tensors(extras: Extras, *, dtype: str, device: str) -> dict[str, torch.Tensor]:
    """Kept outputs (N, …) and scalars, in the type of the losses."""
    tensors = {
        name: copy_to_device(value, device).to(getattr(torch, dtype))
        for name, value in extras.items()
    }
    return {
        name: value.permute(0, 3, 1, 2) if value.ndim == 4 else value
        for name, value in tensors.items()
    }


def copy_to_device(values: NDArray[Any], device: str) -> torch.Tensor:
    """The array's own memory on the CPU; on a GPU a copy that nobody waits for.

    The copy leaves from pinned memory, without which the host would wait for it.
    """
    tensor = torch.from_numpy(values)
    if device == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def map_to_array(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.floating]]:
    """Tensors -> arrays, maps as (N, H, W, C)."""
    arrays = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    return {
        name: np.ascontiguousarray(
            (array.permute(0, 2, 3, 1) if array.ndim == 4 else array).numpy()
        )
        for name, array in arrays.items()
    }
