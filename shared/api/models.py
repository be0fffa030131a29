"""`poc.build_model` and `poc.load_model`: networks as models of the frameworks."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from poc.shared.actions.new_images.recommended_run import find_recommended
from poc.shared.actions.requested_run import weight_defaults
from poc.shared.data.sources.inspection import ignore
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.launch.imagenet import resolve_imagenet
from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.trained_run import read_weights, recorded_network
from poc.shared.errors import UsageError
from poc.shared.spec.networks.freezing import standalone
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.models import find_model
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.check import check_weights
from poc.shared.weights.header import (
    CLASSES,
    IMAGENET,
    describe_weights,
    read_network,
    read_texts,
)
from poc.shared.weights.lineage import read_weights_of
from poc.shared.weights.merging import merge_run
from poc.shared.weights.published.native_names import name_native_layers
from poc.shared.weights.start import check_initial_weights

from .arguments import read_path
from .frameworks import load_framework
from .python_call import python_call

FilePath = str | os.PathLike[str]
BackendName = Literal["tf", "torch"]
# Changes of a declared network that are no options of its architecture.
OWN_FIELDS = ("removed", "factors", "factor_initializer")


def build_model(
    name: str,
    *,
    backend: BackendName,
    input_shape: Sequence[int],
    num_classes: int,
    weights: FilePath | None = None,
    seed: int = 0,
    **options: object,
) -> Any:
    """Build a network as a model of the framework, in the caller's process, in float32.

    A `keras.Model` is functional: it has `summary`, `fit`, `save`, and takes images (N, H, W, C). A
    `torch.nn.Module` takes images (N, C, H, W). Both return logits (N, num_classes). All layers
    train. Dropout draws from the framework's own generator.

    Args:
        name: Architecture, a name of `poc models list`.
        backend: `tf` or `torch`.
        input_shape: (height, width, channels) of an image, sizes in pixels.
        num_classes: Number of logits.
        weights: None for the architecture's own random initial weights, which are the same in both
            frameworks; a canonical safetensors file, or one that `poc weights convert` reads; or
            `imagenet`. The head is a new random one if the file has another number of classes.
        seed: Seed of the random weights.
        **options: Options of the architecture (`poc config keys --model NAME` lists them, there
            with the prefix `model.`), and `removed`, `factors`, `factor_initializer`.

    Raises:
        UsageError: The name, an option, the shape or the weights are wrong, or the framework is not
            installed.
    """
    with python_call(options="model."):
        values = describe_network(name, options)
        path = None if weights is None else str(read_path(weights, "weights"))
        if path not in (None, IMAGENET):
            path = weight_defaults(ignore).locate(path, values)
        sizes = list(input_shape) if isinstance(input_shape, Iterable) else input_shape
        shape = {"input_shape": sizes, "num_classes": num_classes}
        run = RunSpec.parse({**values, **shape, "initial_weights": path, "seed": seed}, "")
        resolved = resolve_networks(resolve_imagenet(run))
        check_initial_weights(resolved)
        return build_native(run, starting_weights(resolved), backend)


def load_model(
    source: FilePath,
    *,
    backend: BackendName | None = None,
    checkpoint: str = "best",
    model: str | None = None,
    input_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    **options: object,
) -> Any:
    """Open a trained network as a model of the framework, as `build_model` returns it.

    A PyTorch model comes in evaluation mode (`model.eval()`). A run of either framework opens in
    both, with the same logits. `poc.prepare_images` makes images as the network was tested on.

    Args:
        source: Run folder, that of a study, or a canonical safetensors file. A file that `poc
            weights convert` wrote from a run describes its network; for others, the keywords below
            supply what is missing.
        backend: `tf` or `torch`; None for the run's own, and `torch` for a file.
        checkpoint: Weights of a run: `best`, `last`, or another file in its `checkpoints`.
        model: Architecture of a file's network.
        input_shape: (height, width, channels) of an image, for a file.
        num_classes: Number of logits, for a file.
        **options: Options of a file's architecture, as of `build_model`.

    Raises:
        UsageError: There is no trained run or no weight file, its header lacks something that no
            keyword supplies, or a tensor does not fit.
    """
    given = {"model": model, "input_shape": input_shape, "num_classes": num_classes, **options}
    named = {key: value for key, value in given.items() if value is not None}
    with python_call(options="model."):
        path = read_path(source, "source")
        record = find_record(path)
        if path.is_file():
            refuse_checkpoint(path, checkpoint)
        if record is None:
            run = describe_file(path, named)
            weights = read_file(run, path)
        else:
            refuse_described(path, named)
            run = recorded_network(record)
            name = path.stem if path.is_file() else checkpoint
            weights = read_weights(record, resolve_networks(run), name)
        chosen = run.backend if backend is None else backend
        return build_native(run, weights, chosen, is_trained=True)


def build_native(run: RunSpec, weights: Weights, backend: str, *, is_trained: bool = False) -> Any:
    """Build the run's network, without the parts that only help its training; LoRA is merged.

    Args:
        run: The run, with known images.
        weights: Canonical `Weights` of the network.
        backend: `tf` or `torch`.
        is_trained: Put a PyTorch model into evaluation mode.
    """
    run, weights = merge_run(run, weights)
    network = standalone(resolve_networks(run).network)
    names = name_native_layers(network, run.model_spec, backend)
    own = {parameter.name: weights[parameter.name] for parameter in network.parameters}
    model: Any = load_framework(backend).build_native_model(network, own, names)
    # Keras has no such state: its `call` is in evaluation mode unless `fit` asks for another.
    return model.eval() if is_trained and backend == "torch" else model


def describe_network(
    name: str, options: Mapping[str, object], header: Mapping[str, object] = MappingProxyType({})
) -> dict[str, object]:
    """Return the settings of a run with this network alone.

    Args:
        name: The architecture.
        options: Its options, and changes of the network, as keywords give them.
        header: Fields of the model that a file has; keywords win.

    Raises:
        UsageError: No such architecture.
    """
    find_model(str(name))
    own = {key: value for key, value in options.items() if key in OWN_FIELDS}
    others = {key: value for key, value in options.items() if key not in OWN_FIELDS}
    stored = header.get("options")
    merged = {**(stored if isinstance(stored, dict) else {}), **others}
    return {"method": "scratch", "model": {**header, "name": str(name), **own, "options": merged}}


def find_record(path: Path) -> RunRecord | None:
    """Return the record of a run folder, or of the run that wrote a checkpoint; None for others.

    Raises:
        UsageError: The path is a folder and no run folder, or nothing.
    """
    if path.is_dir():
        return RunRecord.read(find_recommended(path))
    if not path.is_file():
        raise UsageError(
            f"Got {str(path)!r}, where nothing is. Expected a run folder or a weight file. Try "
            "a folder in runs/, as `result.folder` names it."
        )
    return RunRecord.find(path.resolve())


def refuse_described(path: Path, named: Mapping[str, object]) -> None:
    """Refuse keywords that describe the network of a run, which its record describes.

    Raises:
        UsageError: There is one.
    """
    if named:
        raise UsageError(
            f"Got {', '.join(named)} with {str(path)!r}, whose run describes its network. Expected "
            "these keywords only with a weight file. Try leaving them out."
        )


def refuse_checkpoint(path: Path, checkpoint: str) -> None:
    """Refuse to choose among the weights of a file, which has one set.

    Raises:
        UsageError: A checkpoint is named.
    """
    if checkpoint != "best":
        raise UsageError(
            f"Got checkpoint={checkpoint!r} with the weight file {str(path)!r}. Expected a run "
            "folder with a checkpoint. Try leaving it out."
        )


def describe_file(path: Path, named: Mapping[str, object]) -> RunSpec:
    """Return a run with the network of a weight file, by its header and by keywords.

    Raises:
        UsageError: It is no safetensors file, or something is in neither; the message names it.
    """
    if path.suffix != ".safetensors":
        raise UsageError(
            f"Got the weights {str(path)!r}. Expected a canonical safetensors file, or a run "
            "folder. Try `poc weights convert`, which makes such a file."
        )
    texts = read_texts(path)
    header = read_network(texts)
    shape = header.pop("input_shape", None)
    found = {
        "model": named.get("model", describe_weights(str(path), {}).model),
        "input_shape": named.get("input_shape", shape),
        "num_classes": named.get("num_classes", as_count(texts.get(CLASSES, ""))),
    }
    if missing := [key for key, value in found.items() if value is None]:
        raise UsageError(
            f"Got {str(path)!r}, whose header lacks {', '.join(missing)}. Expected them there or "
            f"as keywords. Try {', '.join(f'{key}=…' for key in missing)}."
        )
    options = {key: value for key, value in named.items() if key not in found}
    values = describe_network(str(found.pop("model")), options, header)
    return RunSpec.parse({**values, **found}, "")


def as_count(text: str) -> int | None:
    """Return a header's number of classes; None if it has none."""
    return int(text) if text.isascii() and text.isdigit() else None


def read_file(run: RunSpec, path: Path) -> Weights:
    """Read a file's canonical `Weights`, if they are exactly those of the run's network.

    Raises:
        UsageError: A tensor is missing, extra or of another shape, or the lineage is another.
    """
    weights: Weights = read_weights_of(run.model_spec, path)
    check_weights(resolve_networks(run).network, weights)
    return weights
