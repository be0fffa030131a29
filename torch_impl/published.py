"""PyTorch's own weight files, and the weights that torchvision publishes: arrays in and out."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.engine.files import write_bytes
from poc.shared.errors import UsageError

# Where training scripts put the tensors inside a checkpoint.
_NESTS = ("state_dict", "model_state_dict", "model")


def read_published(path: str) -> dict[str, NDArray[Any]]:
    """Tensors of a `.pth` file by their names; nothing but tensors is unpickled.

    Raises:
        UsageError: Unreadable, or it holds code or no tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # The weights-only unpickler raises almost anything on damage.
        text = str(error) or type(error).__name__
        raise UsageError(
            f"received {path!r}, which torch.load(weights_only=True) refuses "
            f"({text.splitlines()[0]}); save its state_dict() alone"
        ) from None
    for nest in _NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    tensors = {
        name: value.detach().float().numpy() if value.is_floating_point() else value.numpy()
        for name, value in (content.items() if isinstance(content, Mapping) else ())
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise UsageError(f"received {path!r}, which holds no named tensors; name a state_dict")
    return tensors


def write_published(path: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a state_dict that `torch.load(weights_only=True)` reads."""
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}, buffer)
    write_bytes(Path(path), buffer.getvalue())


def fetch_imagenet(name: str) -> dict[str, NDArray[Any]]:
    """Download torchvision's first ImageNet weights of a model; its own names.

    Raises:
        UsageError: The download failed.
    """
    from torchvision import models

    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"received --weights imagenet, but torchvision's {name} could not be downloaded "
            f"({error}); connect, or name a canonical safetensors file"
        ) from None
    return {key: value.numpy() for key, value in state.items()}
