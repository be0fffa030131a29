"""PyTorch's own weight files, read and written, and the weights that torchvision publishes."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poc.shared.engine.machine.limits import Budget
from poc.shared.errors import UsageError
from poc.shared.files.whole import write_bytes

# How deep tensors may be nested: a pickled mapping can contain itself, without an end.
_MAX_DEPTH = 3


def read_published(path: str) -> dict[str, NDArray[Any]]:
    """Read the `Arrays` of a `.pth` file by their names; nothing but tensors is unpickled.

    If the file has a state_dict under a key, the names are `key/name`.

    Raises:
        UsageError: The file is unreadable, contains code or has no tensors.
    """
    try:
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = _tensors_of(content, Budget(Path(path).stat().st_size))
    # The weights-only unpickler raises almost anything on damaged files.
    except Exception as error:
        text = str(error) or type(error).__name__
        if isinstance(error, UnpicklingError):
            # PyTorch's own text advises to load the file with its code.
            text = "it is damaged or holds more than tensors"
        raise UsageError(
            f"Got {path!r}, which torch.load(weights_only=True) refuses "
            f"({text.splitlines()[0]}). Expected a file of tensors. Try saving its state_dict() "
            "alone."
        ) from None
    if not tensors:
        raise UsageError(
            f"Got {path!r}, which has no named tensors. Expected a state_dict. Try the file of "
            "torch.save(model.state_dict(), 'model.pt')."
        )
    return tensors


def write_published(path: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write `Arrays` as a state_dict that `torch.load(weights_only=True)` reads."""
    # In memory first: an interrupted `torch.save` would leave half a file.
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}, buffer)
    write_bytes(Path(path), buffer.getvalue())


def fetch_imagenet(name: str) -> dict[str, NDArray[Any]]:
    """Download torchvision's first ImageNet weights of a model, as `Arrays` by its own names.

    Raises:
        UsageError: The download failed.
    """
    from torchvision import models

    # By its version: `DEFAULT` means other weights in another release of torchvision.
    weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"Got --weights imagenet, but torchvision's {name} could not be downloaded "
            f"({error}). Expected a connection. Try again with one, or name a canonical "
            "safetensors file."
        ) from None
    return {key: value.numpy() for key, value in state.items()}


def _check_archive(path: str) -> None:
    """Refuse a zip file with packed members: `torch.save` never packs, a zip bomb does."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its member {member.filename!r} is compressed")


def _tensors_of(content: Any, budget: Budget) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, in which no tensor has more numbers than bytes are stored."""
    found: dict[Any, torch.Tensor] = {}
    for name, value in _walk(content) if isinstance(content, Mapping) else ():
        if name in found:
            raise ValueError(f"{name!r} is there twice")
        found[name] = value
    for name, value in found.items():
        is_plain = value.layout == torch.strided and not value.is_quantized
        if not isinstance(name, str) or not is_plain or value.is_complex():
            raise ValueError(f"{name!r} names no plain tensor")
        # Strides of 0 can announce any shape over a storage of a few bytes.
        num_bytes = value.numel() * value.element_size()
        if value.device.type != "cpu" or num_bytes > value.untyped_storage().nbytes():
            raise ValueError(f"{name!r} announces the shape {tuple(value.shape)}")
        budget.take(name, num_bytes)
    return {name: _to_array(value) for name, value in found.items()}


def _walk(
    content: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[Any, Any]]:
    """Yield tensors with their names; those of a mapping under a key are named `key/name`."""
    # An optimiser's state has numbers for names, and is left out.
    for name, value in content.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}" if isinstance(name, str) else name, value
        elif _has_names(value) and isinstance(name, str) and depth < _MAX_DEPTH:
            yield from _walk(value, f"{prefix}{name}/", depth + 1)


def _has_names(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _to_array(value: torch.Tensor) -> NDArray[Any]:
    """Return a tensor as an array; float16 and bfloat16 become the equal float32."""
    # NumPy has no bfloat16.
    value = value.detach()
    is_half = value.is_floating_point() and value.element_size() < 4
    array: NDArray[Any] = (value.float() if is_half else value).numpy()
    return array
