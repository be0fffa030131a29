"""`poc weights convert`: convert files of PyTorch and Keras to canonical safetensors, and back.

The torch worker opens PyTorch pickles (tensors only), the tf worker opens Keras files (arrays
only: no layer is built, no Lambda is run); safetensors needs neither.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from poc.shared.actions.count import parse_input_shape
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays, read_arrays_and_metadata, write_arrays
from poc.shared.files.shards import INDEX, read_shards
from poc.shared.files.signatures import describe_wrong_suffix
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.models import find_model
from poc.shared.spec.networks.network import Network
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.pretrained import merge
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.shared.weights.check import check_weights
from poc.shared.weights.conversion import (
    CANONICAL,
    Tensors,
    as_float,
    choose,
    find_scheme,
    from_canonical,
    to_canonical,
)
from poc.shared.weights.header import CLASSES, NETWORK, VIEW, read_view, write_network
from poc.shared.weights.lineage import LINEAGE, lineage_of, refuse_habits, weight_metadata
from poc.shared.weights.merging import merge_run
from poc.shared.weights.packing import lacks_head
from poc.shared.weights.published.keras_order import numbered_names
from poc.shared.weights.published.schemes import Scheme
from poc.shared.weights.published.table import find_schemes
from poc.shared.weights.published.views import IMAGENET_CLASSES, find_view
from poc.shared.weights.wrapping import unwrap

from .notes import describe_lineage, describe_parts, describe_types

BACKENDS = {".pth": "torch", ".pt": "torch", ".tar": "torch", ".h5": "tf", ".keras": "tf"}
ENDINGS = ", ".join((".safetensors", INDEX, *BACKENDS))
WRITTEN = (".safetensors", ".pth", ".h5")
KERAS_3 = ".weights.h5"  # Keras 3 reads it in its own layout only

# Report of a conversion; each of the `notes` is a sentence about something that a user would not
# expect. It is not a class, because the key `from` is a keyword of Python.
Conversion = TypedDict(
    "Conversion",
    {
        "model": str,
        "from": str,
        "to": str,
        "lineage": str | None,
        "tensors": int,
        "values": int,
        "view": dict[str, object],
        "output": str,
        "notes": list[str],
        "summary": str,
    },
)


def convert_for(
    source: Path,
    target: Path,
    *,
    model: str | None,
    classes: str | None,
    assignments: Iterable[str] = (),
    shape: str | None = None,
    origin: str | None = None,
    to: str = CANONICAL,
) -> Conversion:
    """Convert a file for a model and options as typed on the command line.

    Raises:
        UsageError: The model or the number of classes is missing, or as `convert_file`.
    """
    if model is None or classes is None:
        given = {"--model": model, "--classes": classes}
        missing = " and ".join(option for option, value in given.items() if not value)
        raise UsageError(
            f"Got the file {str(source)!r} without {missing}. Expected --model and --classes, "
            "which only a run folder does not need. Try --model NAME --classes N."
        )
    row = find_model(model)
    run = load_run(
        None,
        [f"model.name={model}", f"num_classes={classes}", *assignments],
        method="scratch",
        input_shape=parse_input_shape(shape) if shape else row.example_input,
    )
    return convert_file(source, target, run, source_format=origin, target_format=to)


def convert_file(
    source: Path, target: Path, run: RunSpec, *, source_format: str | None, target_format: str
) -> Conversion:
    """Read, check every name and shape, rename, transpose, write.

    Args:
        source: `.safetensors`, the index of several of them, `.pth`, `.pt`, `.pth.tar`, `.h5` or
            `.keras`.
        target: `.safetensors`, `.pth`, `.h5` or `.weights.h5`.
        run: The run whose model, `input_shape` and `num_classes` define the tensors; terms of LoRA
            are merged.
        source_format: `torch`, `keras`, `canonical` or a scheme's name; none: found by the names.
        target_format: `torch`, `keras`, `canonical` or a scheme's name.

    Raises:
        UsageError: The file is unreadable, the format is unknown, or a tensor is missing, extra or
            of another shape.
    """
    network = declare_network(run.replace(lora={}))
    schemes = find_schemes(run.model_spec.name)
    outgoing = next(iter(choose(schemes, target_format, network)), None)
    check_target(target, network, outgoing)
    tensors, metadata = read_tensors(source)
    refuse_habits(metadata, source)
    found = unwrap(network, schemes, tensors, source_format)
    incoming = find_scheme(network, schemes, found.tensors, source_format)
    lineage = metadata.get(LINEAGE) if incoming is None else incoming.lineage
    run, weights = merge_run(run, read_weights(run, incoming, found.tensors, lineage))
    is_body = lacks_head(network, incoming, found.tensors)
    notes = [
        *found.notes,
        *describe_parts(network, incoming, found.tensors),
        *describe_lineage(run, incoming, lineage),
        *describe_types(weights),
    ]
    texts = {
        **weight_metadata(run.model_spec, lineage if lineage_of(run.model_spec) else None),
        **view_texts(run, incoming, lineage, metadata, is_body=is_body),
    }
    write_tensors(target, publish(run, outgoing, weights, target), texts)
    origin, form = (scheme.name if scheme else CANONICAL for scheme in (incoming, outgoing))
    num_values = sum(value.size for value in weights.values())
    return {
        "model": network.name,
        "from": origin,
        "to": form,
        "lineage": lineage or lineage_of(run.model_spec),
        "tensors": len(weights),
        "values": num_values,
        "view": read_view(texts),
        "output": str(target),
        "notes": notes,
        "summary": f"{network.name}, {len(weights)} tensors, {num_values} values, "
        f"{origin} to {form}",
    }


def view_texts(
    run: RunSpec,
    incoming: Scheme | None,
    lineage: str | None,
    metadata: Mapping[str, str],
    *,
    is_body: bool = False,
) -> dict[str, str]:
    """Return the header texts about the images that the weights expect, and about the classes.

    Options of the command win over the header of the source, which wins over the published view.
    """
    publisher = lineage or ""
    if incoming and not lineage:
        # timm's names do not show the lineage: the file is recorded as that of the options.
        publisher = lineage_of(run.model_spec) or incoming.name
    # A body alone is published for any number of classes.
    num_classes = IMAGENET_CLASSES if is_body else run.num_classes or 0
    known = find_view(run.model_spec.name, publisher, num_classes)
    stored = read_view(metadata) or (known.settings() if known else {})
    if incoming and incoming.resizing and stored and run.input_shape:
        # The positions were resized to this size.
        stored = {**stored, "image_size": list(run.input_shape[:2])}
    view = merge(stored, run.data.model_dump(mode="json", exclude_unset=True))
    network = write_network(run.model_spec, run.input_shape)
    shown = {VIEW: json.dumps(view)} if view else {}
    return {CLASSES: str(run.num_classes), **shown, NETWORK: network}


def check_target(target: Path, network: Network, outgoing: Scheme | None) -> None:
    """Refuse an output that cannot be written, before anything is read.

    Raises:
        UsageError: The ending is unknown, or it is Keras 3's and Keras 3 could not load the file.
    """
    if target.suffix not in WRITTEN:
        raise UsageError(
            f"Got the output {str(target)!r}. Expected a file that ends in {', '.join(WRITTEN)}. "
            f"Try {target.with_suffix(WRITTEN[0]).name!r}."
        )
    if not target.name.endswith(KERAS_3):
        return
    older = target.with_name(f"{target.name.removesuffix(KERAS_3)}.h5")
    if outgoing is None or outgoing.layout != "keras":
        raise UsageError(
            f"Got the output {str(target)!r} for names that are not those of Keras. Expected names "
            f"of Keras, since {KERAS_3} is Keras 3's own form. Try --to keras, or {str(older)!r}."
        )
    if outgoing.has_statistics:
        raise UsageError(
            f"Got the output {str(target)!r} for {network.name}, whose normalisation statistics "
            f"are not weights here. Expected another ending, since Keras 3 reads {KERAS_3} only "
            f"with them. Try {str(older)!r} and load_weights(..., by_name=True)."
        )


def read_weights(
    run: RunSpec, incoming: Scheme | None, tensors: Tensors, lineage: str | None
) -> Weights:
    """Return the file's tensors (…) as canonical `Weights`.

    Raises:
        UsageError: A tensor is missing, extra or of another shape; the message names the other
            lineage if the file is of it.
    """
    own = lineage_of(run.model_spec)
    try:
        if incoming is not None:
            return to_canonical(declare_network(run), incoming, tensors)
        check_weights(declare_network(run), tensors)
        return {name: as_float(name, value) for name, value in tensors.items()}
    except UsageError as error:
        if lineage is None or own in (None, lineage):
            raise
        raise UsageError(
            f"{str(error).removesuffix('.')}. The file is of the lineage {lineage!r}, the model of "
            f"{own!r}. Try --set model.lineage={lineage}."
        ) from None


def publish(run: RunSpec, outgoing: Scheme | None, weights: Weights, target: Path) -> Arrays:
    """Return canonical `Weights` under the output's names, (…) in the output's layout."""
    if outgoing is None:
        return weights
    published = from_canonical(declare_network(run), outgoing, weights)
    if not target.name.endswith(KERAS_3):
        return published
    names = outgoing.tensors(declare_network(run))
    numbered = numbered_names(declare_network(run), outgoing)
    return {numbered[own]: published[names[own]] for own in numbered}


def read_tensors(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read every tensor (…) of a file, under the file's own names, and its header's texts, if any.

    Raises:
        UsageError: The file is missing, of an unknown kind, or unreadable.
    """
    if not path.is_file():
        raise UsageError(f"Got no file at {str(path)!r}. Expected weights. Try correcting it.")
    if wrong := describe_wrong_suffix(path):
        raise UsageError(wrong)
    if path.suffix == ".safetensors":
        return read_arrays_and_metadata(path)
    if path.name.endswith(INDEX):
        return read_shards(path), {}
    if path.suffix not in BACKENDS:
        raise UsageError(
            f"Got the weights {str(path)!r}. Expected one of {ENDINGS}. "
            f"Try writing its tensors as {path.with_suffix('.safetensors').name}."
        )
    with Worker(BACKENDS[path.suffix]) as worker:
        try:
            return worker.call(Operations.read_published, path=str(path.resolve())), {}
        except WorkerCrashed as error:
            # A compiled reader can crash on a damaged file, or hang until it is stopped.
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"Got the weights {str(path)!r}, on which the reader failed ({reason}). Expected "
                "an undamaged file. Try another copy, or write the tensors as safetensors."
            ) from None


def write_tensors(path: Path, tensors: Arrays, metadata: Mapping[str, str]) -> None:
    """Write the tensors (…) in the format of the ending; only safetensors stores the texts.

    Raises:
        UsageError: Its folder does not exist.
    """
    if not path.parent.is_dir():
        raise UsageError(
            f"Got the output {str(path)!r}, whose folder does not exist. Expected an existing "
            f"folder. Try mkdir -p {str(path.parent)!r}."
        )
    if path.suffix == ".safetensors":
        write_arrays(path, tensors, **metadata)
        return
    with Worker(BACKENDS[path.suffix]) as worker:
        worker.call(Operations.write_published, path=str(path.resolve()), tensors=tensors)
