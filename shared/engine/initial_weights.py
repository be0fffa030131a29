"""Where a run's weights start: drawn, read from a canonical file, or published for ImageNet."""

import os
from collections.abc import Callable
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.spec.initializers import Weights, draw_weights
from poc.shared.spec.models import ModelSpec, find_model
from poc.shared.spec.network import Network
from poc.shared.spec.published.table import SCHEMES, ImagenetOrigin, find_imagenet_origin
from poc.shared.spec.run import RunSpec
from poc.shared.spec.source import SOURCE_PREFIX

from .conversion import find_scheme, to_canonical
from .files import Arrays, read_arrays, write_arrays
from .weight_check import check_weights
from .worker import Worker

Fetch = Callable[[str, str], Arrays]
IMAGENET, IMAGENET_CLASSES = "imagenet", 1000
# Nodes of a classifier, in every architecture that has published weights.
HEAD = ("head", "dense1", "dense2")


def initial_weights(run: RunSpec) -> Weights:
    """Weights that a run starts from, with what its method adds and those of its source.

    Raises:
        UsageError: The file is unreadable, or one of its tensors is missing, extra or misshapen.
    """
    drawn = draw_weights(run.network.parameters, run.seed)
    if run.initial_weights is not None:
        drawn = transfer(run.network, read_arrays(Path(run.initial_weights)), drawn)
    return {**drawn, **draw_weights(run.extra_parameters, run.seed), **source_weights(run)}


def source_weights(run: RunSpec) -> Weights:
    """Weights of the frozen source, under `source/`; drawn where no file is named.

    Raises:
        UsageError: As for the run's own.
    """
    network = run.source_network
    if run.source is None or network is None:
        return {}
    weights: Weights = draw_weights(network.parameters, run.seed + 1)
    if run.source.weights is not None:
        weights = dict(read_arrays(Path(run.source.weights)))
        check_weights(network, weights)
    return {SOURCE_PREFIX + name: value for name, value in weights.items()}


def transfer(network: Network, weights: Arrays, drawn: Weights) -> Weights:
    """The file's weights; where it knows another number of classes, the drawn head.

    Raises:
        UsageError: Any other difference; names the tensor.
    """
    if replaces_head(network, weights):
        weights = {name: value for name, value in weights.items() if not is_of_head(name)}
        weights |= {name: value for name, value in drawn.items() if is_of_head(name)}
    check_weights(network, weights)
    return dict(weights)


def replaces_head(network: Network, weights: Arrays) -> bool:
    """Whether the file's last layer gives another number of logits."""
    last = network.parameters[-1].name
    return (
        is_of_head(last) and last in weights and weights[last].shape[-1:] != (network.num_classes,)
    )


def is_of_head(name: str) -> bool:
    """Whether a tensor belongs to the classifier."""
    return name.partition("/")[0] in HEAD


def resolve_imagenet(run: RunSpec, fetch: Fetch | None = None) -> RunSpec:
    """Replace `imagenet` by the path of the cached canonical file, made at the first use.

    Both backends then start from the same file, whichever framework published it. `fetch` takes a
    backend and a model's name there; none: in that framework's worker.

    Raises:
        UsageError: Nobody publishes ImageNet weights of this model and these options.
    """
    if run.initial_weights != IMAGENET:
        return run
    origin = find_imagenet_origin(run.model_spec)
    path = cache_folder() / f"{run.model_spec.name}-{origin.backend}-{origin.name}.safetensors"
    if not path.exists():
        tensors = (fetch or fetch_in_worker)(origin.backend, origin.name)
        write_imagenet(path, run.model_spec, origin, tensors)
    return run.replace(initial_weights=str(path))


def write_imagenet(path: Path, model: ModelSpec, origin: ImagenetOrigin, tensors: Arrays) -> None:
    """Convert downloaded tensors and keep them."""
    published = ModelSpec(name=model.name, options=dict(origin.options))
    shape = find_model(model.name).example_input
    network = published.declare(shape, IMAGENET_CLASSES)
    scheme = find_scheme(network, SCHEMES[model.name], tensors, origin.scheme)
    if scheme is None:
        raise ValueError(f"Received the origin {origin}, which names no scheme.")
    weights = to_canonical(network, scheme, tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, weights, model=model.name, origin=f"{origin.backend} {origin.name}")


def fetch_in_worker(backend: str, name: str) -> Arrays:
    """Download in the process of the framework that publishes.

    Raises:
        UsageError: The download failed.
    """
    with Worker(backend) as worker:
        return dict(worker.call("fetch_imagenet", name=name))


def cache_folder() -> Path:
    """POC_CACHE, or `poc` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "poc"
    return Path(os.environ.get("POC_CACHE", default)) / "weights"


def check_initial_weights(run: RunSpec) -> None:
    """Refuse a file that is missing before a worker starts.

    Raises:
        UsageError: It does not exist.
    """
    if run.initial_weights not in (None, IMAGENET) and not Path(str(run.initial_weights)).is_file():
        raise UsageError(
            f"received --weights {run.initial_weights!r}, which is no file; name a canonical "
            "safetensors file (poc weights convert makes one) or imagenet"
        )
