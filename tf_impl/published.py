"""Keras' own weight files, read and written, and the weights that keras.applications publishes."""

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
# How deep groups may be nested. Hard links can make a group contain itself, without an end.
_MAX_DEPTH = 64


def read_published(path: str) -> dict[str, NDArray[Any]]:
    """Read the `Arrays` of a `.h5` or `.keras` file as `layer/kernel`, without running its code.

    Keras 3 numbers the variables of a layer: their names are `layer/vars/0`, ….

    Raises:
        UsageError: The file is unreadable or has no weights.
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
    # h5py and zipfile raise almost anything on damaged files.
    except Exception as error:
        text = str(error) or type(error).__name__
        raise UsageError(
            f"Got {path!r}, which is not a readable Keras file ({text.splitlines()[0]}). "
            "Expected weights that Keras saved. Try a .h5 or .keras file."
        ) from None
    if not tensors:
        raise UsageError(
            f"Got {path!r}, which has no weights. Expected a Keras file with weights. "
            "Try the file of model.save_weights('model.weights.h5')."
        )
    return tensors


def write_published(path: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write `Arrays` in an HDF5 form that `model.load_weights` reads.

    The ending `.weights.h5` gives the form of Keras 3, whose names are
    `layers/CLASS_N/LAYER/vars/M` (`spec.published.keras_order`). Any other gives the older form.
    """
    if path.endswith(".weights.h5"):
        _write_numbered(path, tensors)
        return
    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    # In memory first: h5py writes in place, and an interrupted write would leave half a file.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        # Keras finds the layers and their arrays by these attributes.
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
    """Write each variable in the group of its layer, which has the layer's own name."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in tensors.items():
            layers, group, layer, variables, number = name.split("/")
            owner = file.require_group(f"{layers}/{group}/{variables}")
            owner.attrs["name"] = layer
            owner.create_dataset(number, data=value)
    write_bytes(Path(path), buffer.getvalue())


def fetch_imagenet(name: str) -> dict[str, NDArray[Any]]:
    """Download keras.applications' ImageNet weights of a model, as `Arrays` named `layer/kernel`.

    Raises:
        UsageError: The download failed.
    """
    try:
        model = getattr(keras.applications, name)(weights="imagenet")
    # keras.utils.get_file raises nothing narrower.
    except Exception as error:
        raise UsageError(
            f"Got --weights imagenet, but Keras' {name} could not be downloaded ({error}). "
            "Expected a connection. Try again with one, or name a canonical safetensors file."
        ) from None
    return {variable.path: np.asarray(variable) for variable in model.weights}


def _read_weights_of_archive(path: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        # A zip archive states the unpacked size; a small file may state a huge one.
        num_bytes = archive.getinfo(_WEIGHTS_OF_ARCHIVE).file_size
        Budget(Path(path).stat().st_size).take(_WEIGHTS_OF_ARCHIVE, num_bytes)
        return archive.read(_WEIGHTS_OF_ARCHIVE)


def _enter(group: h5py.Group, key: str) -> Any:
    """Return the item of a name, but follow no link: it may lead to another file, or back."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise ValueError(f"{key!r} is a link")
    return group[key]


def _walk(
    group: h5py.Group, budget: Budget, seen: set[int], layer: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Yield every array with the name of the layer that owns it, except optimisers' slots.

    Args:
        group: The group to start in.
        budget: Bytes that all arrays together may take.
        seen: Addresses of items already met. Hard links could lead to one item in countless ways.
        layer: The layer that owns the group.
        depth: Number of groups above this one.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("its groups contain one another")
    for key in group:
        if key.startswith("optimizer"):
            continue
        item = _enter(group, key)
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise ValueError(f"{key!r} is there under two names")
        seen.add(address)
        if isinstance(item, h5py.Group):
            yield from _walk(item, budget, seen, _layer_name(key, item, layer), depth + 1)
        else:
            # Keras 2 kept TensorFlow's `:0`, and named depthwise kernels apart.
            name = key.removesuffix(":0").replace("depthwise_kernel", "kernel")
            yield f"{layer}/{name}", _read_dataset(key, item, budget)


def _read_dataset(key: str, item: h5py.Dataset, budget: Budget) -> NDArray[Any]:
    """Read an array whose numbers are in this very file, no more than it has bytes for."""
    if item.external or item.is_virtual or item.dtype.kind not in NUMBER_KINDS:
        raise ValueError(f"{key!r} holds no plain numbers")
    # A data set states any shape, and HDF5 fills what is not stored with zeros.
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
                f"Got {path!r}, in which two layers have {name}. Expected the weights of one "
                "network. Try a file that was saved from one network."
            )
        unique[name] = value
    return unique


def _layer_name(key: str, item: h5py.Group, layer: str) -> str:
    """Return the name of the layer that owns a group."""
    # Keras 3 puts it on the group `vars`. In the older form the group itself is the layer.
    return f"{item.attrs.get('name', layer)}/vars" if key == "vars" else key
