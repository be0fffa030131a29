"""Header of a canonical weight file, read without its tensors."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays, find_frozen_file
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.reading.pretrained import Described

from .lineage import LINEAGE, lineage_of
from .origin import stored_run
from .published.views import find_view
from .recognition import recognise_model

IMAGENET = "imagenet"
VIEW, CLASSES = "view", "classes"
# The model's options and the input shape, as JSON: with the classes, they declare the network.
NETWORK = "network"
METADATA = "__metadata__"
# A header of 10,000 tensors takes 1 MB, so that a longer one is damage or an attack.
MAX_HEADER_BYTES = 25_000_000
# Keys of a run's data that describe the view with which its weights were tested.
VIEW_KEYS = ("image_size", "channels", "interpolation", "fill", "normalization", "eval_view")


def read_header(path: Path) -> dict[str, object]:
    """Read a safetensors file's header; return {} if it has none that can be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= MAX_HEADER_BYTES else {}
        return dict(header) if isinstance(header, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def read_names(path: Path) -> set[str]:
    """Read the names of a file's tensors, and of those in the file with its frozen tensors."""
    beside = find_frozen_file(path, read_texts(path))
    names = set(read_header(path)) | (set(read_header(beside)) if beside else set())
    return names - {METADATA}


def count_file_bytes(path: Path) -> int:
    """Count the bytes on disk of a weight file and of the file with its frozen tensors."""
    beside = find_frozen_file(path, read_texts(path))
    return path.stat().st_size + (beside.stat().st_size if beside else 0)


def read_texts(path: Path) -> dict[str, str]:
    """Read the texts in a file's header."""
    texts = read_header(path).get(METADATA)
    return {str(k): str(v) for k, v in texts.items()} if isinstance(texts, dict) else {}


def describe_weights(path: str, values: Mapping[str, object]) -> Described:
    """Describe the settings that a run takes from the weights it starts from.

    Args:
        path: Canonical file, a run's checkpoint, or `imagenet`.
        values: The run's settings so far, which name the model for ImageNet weights.
    """
    if path == IMAGENET:
        return describe_imagenet(values)
    file = Path(path)
    if not file.is_file() or file.suffix != ".safetensors":
        return Described(is_there=False)
    texts = read_texts(file)
    model = texts.get("model")
    if model not in MODELS:
        return guess_model(file)
    return Described(
        model=model,
        lineage=texts.get(LINEAGE),
        view=read_view(texts) or view_of_run(file),
        remarks=tuple(find_view_faults(file, texts)),
    )


def guess_model(file: Path) -> Described:
    """Find the model of a file that names none, by the names and shapes of its tensors."""
    texts = read_texts(file)
    view, named = read_view(texts) or view_of_run(file), texts.get("model")
    remarks = []
    # A name that is not in the table is reported, and the tensors decide.
    if named is not None:
        remarks = [
            f"The header of {str(file)!r} names the model {named!r}, which `poc models list` "
            "does not have."
        ]
    found = recognise_model(read_outlines(file))
    has_lineage = found is not None and LINEAGE in find_model(found.model).options.model_fields
    return Described(
        model=found.model if found else None,
        lineage=(texts.get(LINEAGE) or found.lineage) if found and has_lineage else None,
        view=view,
        is_guessed=True,
        remarks=(*remarks, *find_view_faults(file, texts)),
    )


def find_view_faults(file: Path, texts: Mapping[str, str]) -> list[str]:
    """Return a sentence if a header has a view that cannot be read."""
    if VIEW not in texts or read_view(texts) or texts[VIEW].strip() == "{}":
        return []
    return [f"The view in the header of {str(file)!r} cannot be read, so no view is taken."]


def read_outlines(path: Path) -> Arrays:
    """Read the names and shapes of a file's tensors, as arrays (…) that take no memory."""
    outlines = {}
    for name, entry in read_header(path).items():
        with suppress(TypeError, ValueError, KeyError, MemoryError):
            if name != METADATA and isinstance(entry, dict):
                outlines[name] = np.broadcast_to(np.float32(0), tuple(entry["shape"]))
    return outlines


def describe_imagenet(values: Mapping[str, object]) -> Described:
    """Describe the published view of the model that `values` name."""
    given = values.get("model") or {}
    if not isinstance(given, Mapping) or given.get("name") not in MODELS:
        return Described()
    try:
        lineage = lineage_of(ModelSpec.model_validate(dict(given)))
    except (UsageError, ValueError):
        return Described()
    view = find_view(str(given["name"]), lineage or "torchvision")
    # A model without lineage has torchvision's published weights.
    return Described(view=view.settings() if view else {})


def read_view(texts: Mapping[str, str]) -> dict[str, object]:
    """Return the view in a header's texts, or {} if there is none that can be read."""
    try:
        view = json.loads(texts.get(VIEW, "{}"))
    except ValueError:
        return {}
    return dict(view) if isinstance(view, dict) else {}


def write_network(model: ModelSpec, input_shape: Shape | None) -> str:
    """Write a model's options, and the (H, W, C) of its images, for a header."""
    fields = model.model_dump(mode="json", exclude_defaults=True, exclude={"name", "trainable"})
    return json.dumps({**fields, "input_shape": input_shape})


def read_network(texts: Mapping[str, str]) -> dict[str, object]:
    """Return `options`, `input_shape` and more that `write_network` wrote, or {} if there is none.

    The lineage of the header's own text is among the options, since it may correct the named one.
    """
    try:
        found = json.loads(texts.get(NETWORK, "{}"))
    except ValueError:
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("options", {}), dict):
        return {}
    lineage = {LINEAGE: texts[LINEAGE]} if LINEAGE in texts else {}
    return {**found, "options": {**found.get("options", {}), **lineage}}


def view_of_run(file: Path) -> dict[str, object]:
    """Return the evaluation view of the run that a checkpoint belongs to, or {}."""
    # A run folder keeps its weights in `checkpoints/`.
    data = stored_run(file.resolve().parent.parent).get("data")
    data = data if isinstance(data, dict) else {}
    return {key: data[key] for key in VIEW_KEYS if data.get(key) is not None}
