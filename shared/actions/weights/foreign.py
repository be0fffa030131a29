"""`--weights` with a file of another library: convert it if its form is recognised."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from poc.shared.engine.launch.imagenet import IMAGENET_OF, cache_folder, locate_named
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_frozen_arrays
from poc.shared.files.shards import INDEX, find_saved, list_files
from poc.shared.files.signatures import describe_wrong_suffix
from poc.shared.spec.methods.table import find_method, tell_default
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.networks.network import Network
from poc.shared.spec.reading.config import DEFAULT_METHOD
from poc.shared.spec.run import RunSpec
from poc.shared.weights.conversion import find_scheme, own_tensors
from poc.shared.weights.header import IMAGENET, read_names, read_network, read_texts
from poc.shared.weights.layout import published_shape
from poc.shared.weights.lineage import LINEAGE
from poc.shared.weights.packing import lacks_head
from poc.shared.weights.published.positions import find_position_node
from poc.shared.weights.published.table import find_schemes
from poc.shared.weights.recognition import recognise_model
from poc.shared.weights.wrapping import unwrap

from .convert import BACKENDS, ENDINGS, convert_file, read_tensors

# To be raised whenever a file would be converted otherwise, with its view: older copies are not
# taken then.
CONVERSION = "poc conversion 2"
# Any number will do: it only marks the axis of the head that counts classes.
SOME_CLASSES = 1000


def locate_canonical(path: str, values: Mapping[str, object], note: Callable[[str], None]) -> str:
    """Return the path of the canonical form of a weight file: its own, or a converted copy's.

    Args:
        path: As given to `--weights`.
        values: The settings so far; they name the model.
        note: Called with each remark about a conversion.

    Raises:
        UsageError: The file's form is not recognised; the message has the command that converts it.
    """
    file = find_saved(Path(path))
    if path == IMAGENET or not file.is_file():
        return path
    refuse_unknown_suffix(file)
    model = named_model(values)
    network = declare(model, values, file)
    if file.suffix == ".safetensors" and is_canonical(network, file):
        return str(file)
    try:
        return convert_copy(file, model, network, image_shape(network, values), note)
    except UsageError as error:
        raise UsageError(explain_failure(str(error), file, model, values)) from None


def locate_recognised(path: str, note: Callable[[str], None]) -> str:
    """Return the path of the canonical form of a weight file, where nobody names the model.

    Args:
        path: File, folder that transformers saved, or `imagenet:MODEL`, which is downloaded once.
        note: Called with each remark about a conversion.

    Raises:
        UsageError: The tensors fit no model, or several; the message has the command that converts
            the file for a named one. Or a download failed.
    """
    if path.startswith(IMAGENET_OF):
        return str(locate_named(path.removeprefix(IMAGENET_OF)))
    file = find_saved(Path(path))
    if file.suffix == ".safetensors":
        # A run reads the model from its header or its tensors.
        return str(file)
    refuse_unknown_suffix(file)
    found = recognise_model(read_tensors(file)[0])
    if found is None:
        raise UsageError(
            f"Got --weights {path!r}, whose tensors fit no model of `poc models list`, or several. "
            f"Expected those of one. Try `poc weights convert {file} NEW.safetensors --model NAME "
            "--classes N`, and NEW.safetensors here."
        )
    has_lineage = LINEAGE in find_model(found.model).options.model_fields
    options = {LINEAGE: found.lineage} if found.lineage and has_lineage else {}
    model = {"name": found.model, "options": options}
    return locate_canonical(path, {"method": "transfer", "model": model}, note)


def refuse_unknown_suffix(file: Path) -> None:
    """Refuse a file with an unknown ending, before it is read.

    Raises:
        UsageError: The ending is unknown; the message has the right one if the content shows it.
    """
    is_known = file.suffix == ".safetensors" or file.name.endswith(INDEX)
    if not is_known and file.suffix not in BACKENDS:
        raise UsageError(
            describe_wrong_suffix(file)
            or f"Got --weights {str(file)!r}, which is not a weight file by its name or content. "
            f"Expected a file that ends in one of {ENDINGS}. Try writing its tensors as "
            f"{file.with_suffix('.safetensors').name}."
        )


def explain_failure(error: str, file: Path, model: ModelSpec, values: Mapping[str, object]) -> str:
    """Return the message for a file that was not converted, with the model that it fits, if any."""
    found = None
    with suppress(UsageError):
        recognised = recognise_model(read_tensors(file)[0])
        found = recognised.model if recognised else None
    method, given = str(values.get("method", DEFAULT_METHOD)), values.get("model") or {}
    is_named = isinstance(given, Mapping) and "name" in given
    if found in (None, model.name):
        remark = "" if is_named else tell_default(method, model.name).lstrip(". ")
        return f"{error.removesuffix('.')}. {remark}" if remark else error
    default = "" if is_named else f", the default model of {method}"
    known = find_method(method).models
    told = "" if not known or found in known else "--method transfer "
    why = f" for a new head on these weights ({method} cannot train it)" if told else ""
    return (
        f"Got {str(file)!r} for {model.name}{default}. Expected weights of {model.name}, but the "
        f"file fits {found}. Try {told}--model {found}{why}."
    )


def named_model(values: Mapping[str, object]) -> ModelSpec:
    """Return the model that the run names, or its method's own."""
    # A `model` that is not a table is refused later, with its key in the message.
    given = dict(found) if isinstance(found := values.get("model"), Mapping) else {}
    method = find_method(str(values.get("method", DEFAULT_METHOD)))
    return ModelSpec.parse({"name": method.default_model, **given}, "model")


def declare(model: ModelSpec, values: Mapping[str, object], file: Path) -> Network:
    """Declare the network at the image size of its publication.

    If its options do not fit that size, as patches may not, the size of the run or of the file's
    header takes its place.

    Raises:
        UsageError: The options fit none of them.
    """
    published = find_model(model.name).example_input
    texts = read_texts(file) if file.suffix == ".safetensors" else {}
    stored = read_network(texts).get("input_shape")
    sizes = (given_size(values), stored[:2] if isinstance(stored, list) else None)
    try:
        return model.declare(published, SOME_CLASSES)
    except UsageError:
        for size in filter(None, sizes):
            with suppress(UsageError):
                return model.declare((*size, published[2]), SOME_CLASSES)
        raise


def is_canonical(network: Network, file: Path) -> bool:
    """Return true if a file has the project's names for more than half of the network's tensors.

    A file that refers to another one for its frozen tensors is always a run's own.

    Raises:
        UsageError: That other file is missing or was changed.
    """
    if read_frozen_arrays(file, read_texts(file)):
        return True
    own = {parameter.name for parameter in network.parameters}
    return 2 * len(own & read_names(file)) > len(own)


def image_shape(network: Network, values: Mapping[str, object]) -> Shape:
    """Return the shape (H, W, C) of the images that positions are resized to, if there are any."""
    size = given_size(values)
    if size is None or find_position_node(network) is None:
        return network.input_shape
    return (*size, network.input_shape[2])


def given_size(values: Mapping[str, object]) -> tuple[int, int] | None:
    """Return the image size of the settings so far; None if it is open, or will be refused."""
    data = values.get("data")
    size = data.get("image_size") if isinstance(data, Mapping) else None
    if not isinstance(size, list | tuple) or len(size) != 2:
        return None
    height, width = size
    are_numbers = isinstance(height, int) and isinstance(width, int) and min(height, width) > 0
    return (height, width) if are_numbers else None


def convert_copy(
    file: Path,
    model: ModelSpec,
    network: Network,
    shape: Shape,
    note: Callable[[str], None],
) -> str:
    """Convert a file into the cache, once per content, model and shape; return the copy's path."""
    named = f"{CONVERSION}{model.model_dump_json()}{shape}".encode()
    content = b"".join(part.read_bytes() for part in list_files(file))
    digest = hashlib.sha256(content + named).hexdigest()[:16]
    target = cache_folder() / f"{file.stem}-{model.name}-{digest}.safetensors"
    if not target.exists():
        run = RunSpec.parse(
            {
                "method": "scratch",
                "model": model.model_dump(mode="json"),
                "input_shape": list(shape),
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
    """Return the number of classes of the head in a published file.

    Raises:
        UsageError: The names are not those of the model, or the file has no head.
    """
    schemes = find_schemes(model.name)
    # Outside `try`: an unreadable file needs no advice about names.
    found = read_tensors(file)[0]
    try:
        tensors = unwrap(network, schemes, found).tensors
        scheme = find_scheme(network, schemes, tensors)
    except UsageError as error:
        raise UsageError(
            f"{str(error).removesuffix('.')}. Or fill in the right names: `poc weights convert "
            f"{file} {file.with_suffix('.safetensors').name} --model {model.name} --classes N`"
        ) from None
    if scheme is not None:
        # Keras 3 only numbers the variables of a layer.
        tensors = own_tensors(network, scheme, tensors)
    if lacks_head(network, scheme, tensors):
        return SOME_CLASSES
    head = network.parameters[-1]
    name = head.name if scheme is None else scheme.tensors(network)[head.name]
    node = next(node for node in reversed(network.nodes) if node.parameters)
    shape = head.shape if scheme is None else published_shape(network, node, head.shape, scheme)
    if name not in tensors:
        raise UsageError(
            f"Got {str(file)!r} without {name}, the head of {model.name}. Expected a file with its "
            "head. Try another file, or convert it with `poc weights convert`."
        )
    return int(tensors[name].shape[shape.index(SOME_CLASSES)])
