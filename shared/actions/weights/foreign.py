"""`--weights` with somebody else's file: converted on the way where its form is recognised."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from poc.shared.engine.launch.imagenet import cache_folder
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_frozen_arrays
from poc.shared.files.signatures import describe_wrong_suffix
from poc.shared.spec.methods.table import find_method, tell_default
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.networks.network import Network
from poc.shared.spec.reading.config import DEFAULT_METHOD
from poc.shared.spec.run import RunSpec
from poc.shared.weights.conversion import find_scheme, published_shape
from poc.shared.weights.header import IMAGENET, read_names, read_texts
from poc.shared.weights.published.table import find_schemes
from poc.shared.weights.recognition import recognise_model
from poc.shared.weights.wrapping import unwrap

from .convert import BACKENDS, convert_file, read_tensors

# Any number serves to declare a network whose head is then looked for in the file.
SOME_CLASSES = 1000


def locate_canonical(path: str, values: Mapping[str, object], note: Callable[[str], None]) -> str:
    """Path of the canonical form of a weight file: its own, or that of a converted copy.

    Args:
        path: As given to `--weights`.
        values: The run so far: says which model the file is for.
        note: Told of a conversion.

    Raises:
        UsageError: The file's form is not recognised; names the command that converts it.
    """
    file = Path(path)
    if path == IMAGENET or not file.is_file():
        return path
    refuse_unknown_suffix(file)
    model = named_model(values)
    network = declare(model, SOME_CLASSES)
    if file.suffix == ".safetensors" and is_canonical(network, file):
        return path
    try:
        return convert_copy(file, model, network, note)
    except UsageError as error:
        raise UsageError(explain_failure(str(error), file, model, values)) from None


def refuse_unknown_suffix(file: Path) -> None:
    """Refuse a file whose name says nothing, before anything is read of it or trained.

    Raises:
        UsageError: Names the file that it is by its content, where that is one of weights.
    """
    if file.suffix != ".safetensors" and file.suffix not in BACKENDS:
        endings = ", ".join((".safetensors", *BACKENDS))
        raise UsageError(
            describe_wrong_suffix(file)
            or f"received --weights {str(file)!r}, which is no weight file by its name or content; "
            f"allowed are {endings}: name one"
        )


def explain_failure(error: str, file: Path, model: ModelSpec, values: Mapping[str, object]) -> str:
    """What to type where a file is not converted: the model that it fits, where one is known."""
    found = None
    with suppress(UsageError):
        recognised = recognise_model(read_tensors(file)[0])
        found = recognised.model if recognised else None
    method, given = str(values.get("method", DEFAULT_METHOD)), values.get("model") or {}
    is_named = isinstance(given, Mapping) and "name" in given
    if found in (None, model.name):
        return error if is_named else f"{error}{tell_default(method, model.name)}"
    default = "" if is_named else f", the default model of {method}"
    known = find_method(method).models
    told = "" if not known or found in known else "--method transfer "
    why = f" for a new head on these weights ({method} cannot train it)" if told else ""
    return (
        f"received {str(file)!r} for {model.name}{default}; the file fits {found}: "
        f"write {told}--model {found}{why}"
    )


def named_model(values: Mapping[str, object]) -> ModelSpec:
    """The model that the run names, or its method's own."""
    # What is no table is refused later, by name.
    given = dict(found) if isinstance(found := values.get("model"), Mapping) else {}
    method = find_method(str(values.get("method", DEFAULT_METHOD)))
    return ModelSpec.parse({"name": method.default_model, **given}, "model")


def declare(model: ModelSpec, num_classes: int) -> Network:
    """The network at the size that its publication has."""
    return model.declare(find_model(model.name).example_input, num_classes)


def is_canonical(network: Network, file: Path) -> bool:
    """Whether a file's names are the project's own: those of most of the network's tensors.

    One that left its frozen tensors to another file is a run's.

    Raises:
        UsageError: That other file is missing, or is not what was written.
    """
    if read_frozen_arrays(file, read_texts(file)):
        return True
    own = {parameter.name for parameter in network.parameters}
    return 2 * len(own & read_names(file)) > len(own)


def convert_copy(
    file: Path, model: ModelSpec, network: Network, note: Callable[[str], None]
) -> str:
    """Convert into the cache, once for each content and model."""
    digest = hashlib.sha256(file.read_bytes() + model.model_dump_json().encode()).hexdigest()[:16]
    target = cache_folder() / f"{file.stem}-{model.name}-{digest}.safetensors"
    if not target.exists():
        run = RunSpec.parse(
            {
                "method": "scratch",
                "model": model.model_dump(mode="json"),
                "input_shape": list(find_model(model.name).example_input),
                "num_classes": count_classes(file, model, network),
            },
            "",
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}")
        for text in convert_file(file, partial, run, source_format=None, target_format="canonical")[
            "notes"
        ]:
            note(text)
        partial.replace(target)
        note(f"Converted {str(file)!r} for {model.name}: {target}.")
    return str(target)


def count_classes(file: Path, model: ModelSpec, network: Network) -> int:
    """How many classes the head in a published file gives.

    Raises:
        UsageError: The names are not those of the model.
    """
    schemes = find_schemes(model.name)
    # What cannot be read is no matter of names.
    found = read_tensors(file)[0]
    try:
        tensors = unwrap(network, schemes, found).tensors
        scheme = find_scheme(network, schemes, tensors)
    except UsageError as error:
        raise UsageError(
            f"{error} (or, with the right names filled in: poc weights convert {file} "
            f"{file.with_suffix('.safetensors').name} --model {model.name} --classes N)"
        ) from None
    head = network.parameters[-1]
    name = head.name if scheme is None else scheme.tensors(network)[head.name]
    node = next(node for node in reversed(network.nodes) if node.parameters)
    shape = head.shape if scheme is None else published_shape(network, node, head.shape, scheme)
    if name not in tensors:
        raise UsageError(
            f"received {str(file)!r} without {name}, the head of {model.name}; name a file with "
            "its head, or convert it by `poc weights convert`"
        )
    return int(tensors[name].shape[shape.index(SOME_CLASSES)])
