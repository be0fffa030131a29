"""Keras' own weight files, and the weights that keras.applications publishes: arrays in and out."""

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from poc.shared.engine.machine.limits import NUMBER_KINDS, Budget
from poc.shared.errors import UsageError
from poc.shared.files.whole import write_bytes

_WEIGHTS_OF_ARCHIVE = "model.weights.h5"
_MAX_DEPTH = 64


def read_published(path: str) -> dict[str, NDArray[Any]]:
    """Arrays of a `.h5` or `.keras` file as `layer/kernel`; no layer is built, no code is run.

    Keras 3 numbers the variables of a layer: those come as `layer/vars/0`, ….

    Raises:
        UsageError: Unreadable, or it holds no weights.
    """
    try:
        content: Any = path
        if zipfile.is_zipfile(path):
            content = io.BytesIO(_read_weights_of_archive(path))
        with h5py.File(content, "r") as file:
            budget = Budget(Path(path).stat().st_size)
            is_whole_model = "model_weights" in file
            weights = _enter(file, "model_weights") if is_whole_model else file
            tensors = _unique(path, _walk(weights, budget, set()))
    except UsageError:
        raise
    except Exception as error:  # h5py and zipfile raise almost anything on damaged files.
        text = str(error) or type(error).__name__
        raise UsageError(
            f"received {path!r}, which is no readable Keras file ({text.splitlines()[0]}); name a "
            ".h5 or .keras file that Keras saved"
        ) from None
    if not tensors:
        raise UsageError(f"received {path!r}, which holds no weights; name a file that holds some")
    return tensors


def write_published(path: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write the HDF5 form that `model.load_weights` reads: by the ending, Keras 3's or the older.

    Names of Keras 3's are `layers/CLASS_N/LAYER/vars/M` (`spec.published.keras_order`).
    """
    if path.endswith(".weights.h5"):
        _write_numbered(path, tensors)
        return
    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", keras.__version__
        file.create_group("top_level_model_weights").attrs["weight_names"] = np.array([], "S1")
        for layer, names in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                group.create_dataset(name, data=tensors[name])
    write_bytes(Path(path), buffer.getvalue())


def _write_numbered(path: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Each variable in the group of its layer, which holds the layer's own name."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in tensors.items():
            layers, group, layer, variables, number = name.split("/")
            owner = file.require_group(f"{layers}/{group}/{variables}")
            owner.attrs["name"] = layer
            owner.create_dataset(number, data=value)
    write_bytes(Path(path), buffer.getvalue())


def fetch_imagenet(name: str) -> dict[str, NDArray[Any]]:
    """Download keras.applications' ImageNet weights of a model; `layer/kernel`.

    Raises:
        UsageError: The download failed.
    """
    try:
        model = getattr(keras.applications, name)(weights="imagenet")
    except Exception as error:  # keras.utils.get_file raises nothing narrower
        raise UsageError(
            f"received --weights imagenet, but Keras' {name} could not be downloaded ({error}); "
            "connect, or name a canonical safetensors file"
        ) from None
    return {variable.path: np.asarray(variable) for variable in model.weights}


def _read_weights_of_archive(path: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        num_bytes = archive.getinfo(_WEIGHTS_OF_ARCHIVE).file_size
        Budget(Path(path).stat().st_size).take(_WEIGHTS_OF_ARCHIVE, num_bytes)
        return archive.read(_WEIGHTS_OF_ARCHIVE)


def _enter(group: h5py.Group, key: str) -> Any:
    """What stands under a name in this very file: a link may lead to another file, or back."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise ValueError(f"{key!r} is a link")
    return group[key]


def _walk(
    group: h5py.Group, budget: Budget, seen: set[int], layer: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Every array under the name of the layer that owns it; optimisers' slots are left out.

    Args:
        group: Where to start.
        budget: Of all arrays together.
        seen: Addresses of what was met; hard links could lead to one thing in countless ways.
        layer: The layer that owns the group.
        depth: Below the file's root.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("its groups contain one another")
    for key in group:
        if key.startswith("optimizer"):
            continue
        item = _enter(group, key)
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise ValueError(f"{key!r} stands there under two names")
        seen.add(address)
        if isinstance(item, h5py.Group):
            yield from _walk(item, budget, seen, _layer_name(key, item, layer), depth + 1)
        else:
            name = key.removesuffix(":0").replace("depthwise_kernel", "kernel")
            yield f"{layer}/{name}", _read_dataset(key, item, budget)


def _read_dataset(key: str, item: h5py.Dataset, budget: Budget) -> NDArray[Any]:
    """Its numbers, if they stand in this very file and are as many as it has bytes for."""
    if item.external or item.is_virtual or item.dtype.kind not in NUMBER_KINDS:
        raise ValueError(f"{key!r} holds no plain numbers")
    num_bytes = math.prod(item.shape) * item.dtype.itemsize
    Budget(item.id.get_storage_size()).take(key, num_bytes)
    budget.take(key, num_bytes)
    array: NDArray[Any] = np.asarray(item)
    return array


def _unique(path: str, tensors: Iterator[tuple[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    unique: dict[str, NDArray[Any]] = {}
    for name, value in tensors:
        if name in unique:
            raise UsageError(
                f"received {path!r}, in which two layers hold {name}; name a file of one network"
            )
        unique[name] = value
    return unique


def _layer_name(key: str, item: h5py.Group, layer: str) -> str:
    """Keras 3 puts a layer's name on the group of its variables; before, a group was a layer."""
    return f"{item.attrs.get('name', layer)}/vars" if key == "vars" else key
