"""What a canonical weight file says about itself, read without its tensors."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays, find_frozen_file
from poc.shared.spec.networks.models import MODELS, ModelSpec, find_model
from poc.shared.spec.reading.pretrained import Described

from .lineage import LINEAGE, lineage_of
from .origin import stored_run
from .published.views import find_view
from .recognition import recognise_model

IMAGENET = "imagenet"
VIEW, CLASSES = "view", "classes"
METADATA = "__metadata__"
# A header of 10,000 tensors takes 1 MB.
MAX_HEADER_BYTES = 25_000_000
# Of a run's data, what belongs to the view that its weights were tested with.
VIEW_KEYS = ("image_size", "channels", "interpolation", "fill", "normalization", "eval_view")


def read_header(path: Path) -> dict[str, object]:
    """A safetensors file's header; empty where there is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= MAX_HEADER_BYTES else {}
        return dict(header) if isinstance(header, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def read_names(path: Path) -> set[str]:
    """The names of a file's tensors, with those of the file that holds the frozen ones."""
    beside = find_frozen_file(path, read_texts(path))
    names = set(read_header(path)) | (set(read_header(beside)) if beside else set())
    return names - {METADATA}


def count_file_bytes(path: Path) -> int:
    """Bytes on the disk of a weight file and of the one that holds its frozen tensors."""
    beside = find_frozen_file(path, read_texts(path))
    return path.stat().st_size + (beside.stat().st_size if beside else 0)


def read_texts(path: Path) -> dict[str, str]:
    """The texts of a file's header."""
    texts = read_header(path).get(METADATA)
    return {str(k): str(v) for k, v in texts.items()} if isinstance(texts, dict) else {}


def describe_weights(path: str, values: Mapping[str, object]) -> Described:
    """What a run that starts from these weights should take from them.

    Args:
        path: Canonical file, a run's checkpoint, or `imagenet`.
        values: The run so far: says the model whose ImageNet weights are meant.
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
    """The model that a file without a name of one is for, told by its names and shapes."""
    texts = read_texts(file)
    view, named = read_view(texts) or view_of_run(file), texts.get("model")
    remarks = []
    if named is not None:
        remarks = [
            f"The header of {str(file)!r} names the model {named!r}, which is none of "
            "`poc models list`."
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
    """A sentence where a header holds a view that cannot be read."""
    if VIEW not in texts or read_view(texts) or texts[VIEW].strip() == "{}":
        return []
    return [f"The view in the header of {str(file)!r} cannot be read, so that none is taken."]


def read_outlines(path: Path) -> Arrays:
    """The names and shapes of a file's tensors, as arrays that hold nothing."""
    outlines = {}
    for name, entry in read_header(path).items():
        with suppress(TypeError, ValueError, KeyError, MemoryError):
            if name != METADATA and isinstance(entry, dict):
                outlines[name] = np.broadcast_to(np.float32(0), tuple(entry["shape"]))
    return outlines


def describe_imagenet(values: Mapping[str, object]) -> Described:
    """The published view of a named model."""
    given = values.get("model") or {}
    if not isinstance(given, Mapping) or given.get("name") not in MODELS:
        return Described()
    try:
        lineage = lineage_of(ModelSpec.model_validate(dict(given)))
    except (UsageError, ValueError):
        return Described()
    view = find_view(str(given["name"]), lineage or "torchvision")
    return Described(view=view.settings() if view else {})


def read_view(texts: Mapping[str, str]) -> dict[str, object]:
    """The view that a header names; empty where it names none."""
    try:
        view = json.loads(texts.get(VIEW, "{}"))
    except ValueError:
        return {}
    return dict(view) if isinstance(view, dict) else {}


def view_of_run(file: Path) -> dict[str, object]:
    """The evaluation view of the run whose checkpoint this is; empty where it is none."""
    data = stored_run(file.resolve().parent.parent).get("data")
    data = data if isinstance(data, dict) else {}
    return {key: data[key] for key in VIEW_KEYS if data.get(key) is not None}
