"""The border with NumPy: arrays into PyTorch and back. The channel axis moves only here."""

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
    """Return images (N, H, W, C) as a tensor (N, C, H, W).

    On the CPU `channels_last` gives a view without a copy. `channels_first` gives a copy;
    convolutions then keep that layout from layer to layer.
    """
    tensor = copy_to_device(images, device).to(getattr(torch, dtype)).permute(0, 3, 1, 2)
    if layout == "channels_last":
        return tensor
    # Not `contiguous`: it returns maps of a single channel unchanged, and convolutions would read
    # them as channels-last.
    return tensor.clone(memory_format=torch.contiguous_format)


def labels_to_tensor(labels: NDArray[Any], *, dtype: str, device: str) -> torch.Tensor:
    """Return labels (N,) int64, or soft ones (N, num_classes) in the images' type."""
    tensor = copy_to_device(labels, device)
    # Soft labels meet the logits in one product, which needs one type; class indices do not.
    return tensor if labels.ndim == 1 else tensor.to(getattr(torch, dtype))


def rate_to_tensor(learning_rate: float) -> torch.Tensor | float:
    """Return a learning rate as the update takes it: () float64."""
    # PyTorch's optimisers take Python's float, which is float64 already.
    return learning_rate


def noise_to_tensors(noise: Noise, *, device: str) -> dict[str, torch.Tensor]:
    """Return masks (N, …) under the names of their layers."""
    # A mask (1,) is a gate that Python reads to skip a block. On a GPU that would wait for the
    # device, so it stays on the host.
    masks = {
        name: copy_to_device(mask, "cpu" if mask.shape == (1,) else device)
        for name, mask in noise.items()
    }
    return {
        name: mask.permute(0, 3, 1, 2) if mask.ndim == 4 else mask for name, mask in masks.items()
    }


def extras_to_tensors(extras: Extras, *, dtype: str, device: str) -> dict[str, torch.Tensor]:
    """Return kept outputs (N, …) and scalars (), in the type of the losses."""
    tensors = {
        name: copy_to_device(value, device).to(getattr(torch, dtype))
        for name, value in extras.items()
    }
    return {
        name: value.permute(0, 3, 1, 2) if value.ndim == 4 else value
        for name, value in tensors.items()
    }


def copy_to_device(values: NDArray[Any], device: str) -> torch.Tensor:
    """Return a tensor with the array's shape (…) and values.

    On the CPU it shares the array's memory. On a GPU it is a copy that the host does not wait for.
    """
    tensor = torch.from_numpy(values)
    if device == "cpu":
        return tensor
    # Only pinned memory can be copied while the host goes on.
    return tensor.pin_memory().to(device, non_blocking=True)


def map_to_array(tensors: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.floating]]:
    """Return tensors as arrays: maps (N, C, H, W) become (N, H, W, C)."""
    arrays = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    # Copied to C order, as TensorFlow's arrays have it: a permuted view has other strides.
    return {
        name: np.ascontiguousarray(
            (array.permute(0, 2, 3, 1) if array.ndim == 4 else array).numpy()
        )
        for name, array in arrays.items()
    }
