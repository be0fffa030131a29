"""Canonical weights in and out of a PyTorch model: the only place that knows both layouts."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers.declaration import Shape

from .layers.basic import BatchNorm
from .layers.convolution import DepthwiseConv2D
from .layers.layer_norm import LayerNorm
from .models import Model

# Attributes whose canonical name is another; all others are canonical themselves.
_NAMES = {"weight": "kernel"}
_NORM_NAMES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def named_variables(model: Model) -> dict[str, torch.Tensor]:
    """Return canonical name -> tensor (…), in the order of the network's parameter table."""
    return {
        name: variable
        for node, layer in model.node_layers.items()
        for name, variable in _walk(layer, node)
    }


def trainable_names(model: Model) -> list[str]:
    """Return the canonical names of the tensors that gradients reach."""
    return [name for name, variable in named_variables(model).items() if variable.requires_grad]


def learning_names(model: Model) -> list[str]:
    """Return the trainable names without the biases that a batch norm cancels."""
    # Their gradient is exactly 0. A computed one is rounding noise, which Adam would follow at the
    # full rate (docs/decisions/0003).
    cancelled = model.network.cancelled_biases
    return [name for name in trainable_names(model) if name not in cancelled]


def load_weights(model: Model, weights: Mapping[str, NDArray[Any]]) -> None:
    """Copy canonical `Weights` into the model; `shared` has checked their names and shapes."""
    with torch.no_grad():
        for name, variable in named_variables(model).items():
            variable.copy_(torch.from_numpy(from_canonical(model, name, weights[name])))


def read_weights(model: Model, names: Collection[str] | None = None) -> Weights:
    """Return canonical `Weights`: all parameters and running statistics, or `names` alone."""
    return {
        name: to_canonical(model, name, variable)
        for name, variable in named_variables(model).items()
        if names is None or name in names
    }


def canonical_shape(model: Model, name: str) -> tuple[int, ...]:
    """Return the shape of the tensor `name` in canonical layout."""
    # Read without the values, which a model built on the meta device does not have.
    shape = tuple(named_variables(model)[name].shape)
    return tuple(shape[axis] for axis in _order(model, name, len(shape)) or range(len(shape)))


def to_canonical(model: Model, name: str, value: Any) -> NDArray[Any]:
    """Return a gradient or slot of the tensor `name` canonically: kernels (H, W, in, out)."""
    array: NDArray[Any] = value.detach().cpu().numpy()
    if flat := _flat_shape(model, name):
        # The rows of (out, C * H * W) become those of (H * W * C, out).
        height, width, channels = flat
        maps = array.reshape(-1, channels, height, width)
        return np.ascontiguousarray(maps.transpose(2, 3, 1, 0).reshape(-1, len(array)))
    order = _order(model, name, array.ndim)
    # A copy: the array shares the tensor's memory, which the next step overwrites.
    return np.array(array.transpose(order) if order else array, order="C")


def from_canonical(model: Model, name: str, value: NDArray[Any]) -> NDArray[Any]:
    """Return a canonical array, kernels (H, W, in, out), in the layout of the tensor `name`."""
    if flat := _flat_shape(model, name):
        maps = value.reshape(*flat, -1)
        return np.ascontiguousarray(maps.transpose(3, 2, 0, 1).reshape(value.shape[1], -1))
    order = _order(model, name, value.ndim)
    return np.array(value.transpose(np.argsort(order)) if order else value, order="C")


def _order(model: Model, name: str, rank: int) -> tuple[int, ...]:
    """Return the axes of the PyTorch tensor in canonical order, or () if the layouts agree."""
    if not name.endswith("/kernel"):
        return ()
    if rank == 2:
        return (1, 0)
    node, *part = _path(model, name)
    owner = model.node_layers[node].get_submodule(".".join(part))
    # A depthwise kernel is (C, 1, H, W) here and (H, W, C, 1) there; others are (out, in, H, W) and
    # (H, W, in, out).
    return (2, 3, 0, 1) if isinstance(owner, DepthwiseConv2D) else (2, 3, 1, 0)


def _flat_shape(model: Model, name: str) -> Shape | None:
    """Return (H, W, C) of the map that was flattened for a kernel (in, out), or None."""
    if not name.endswith("/kernel"):
        return None
    owner, *part = _path(model, name)
    # The second kernel of a light layer, or of a low-rank term, reads the first one's outputs.
    if part not in ([], ["reduce"], ["lora", "a"]):
        return None
    return next(
        (
            shape
            for flatten, shape in model.flattened.items()
            if any(user.name == owner for user in model.network.users[flatten])
        ),
        None,
    )


def _path(model: Model, name: str) -> list[str]:
    """Return the names of the modules that lead to the owner of a canonical name."""
    owner, parts = name.rpartition("/")[0], list[str]()
    # Names of nodes contain slashes too: what is left after the longest of them are parts. A name
    # of no node ends with an empty owner, which the caller does not find.
    while owner and owner not in model.node_layers:
        owner, _, part = owner.rpartition("/")
        parts.insert(0, part)
    return [owner, *parts]


def _walk(layer: nn.Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a layer's own tensors under their canonical names, then its sublayers'."""
    names = _NORM_NAMES if isinstance(layer, BatchNorm | LayerNorm) else _NAMES
    for own in (layer.named_parameters(recurse=False), layer.named_buffers(recurse=False)):
        for attribute, variable in own:
            # Batches are counted for PyTorch's users alone: no canonical file has the counter.
            if attribute != "num_batches_tracked":
                yield f"{prefix}/{names.get(attribute, attribute)}", variable
    for part, sublayer in layer.named_children():
        yield from _walk(sublayer, f"{prefix}/{part}")
