"""Weights published for ImageNet: downloaded once and cached as a canonical file."""

import json
from collections.abc import Callable
from pathlib import Path

from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.files.arrays import Arrays, read_arrays_and_metadata, write_arrays
from poc.shared.files.cache import cache_root
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.run import RunSpec
from poc.shared.weights.conversion import find_scheme, to_canonical
from poc.shared.weights.header import VIEW, read_texts
from poc.shared.weights.lineage import LINEAGE, lineage_of, weight_metadata
from poc.shared.weights.published.table import (
    IMAGENET_ORIGINS,
    ImagenetOrigin,
    find_imagenet_origin,
    find_schemes,
)
from poc.shared.weights.published.views import find_view
from poc.shared.weights.start import IMAGENET

from .installed import find_missing

Fetch = Callable[[str, str], Arrays]
IMAGENET_CLASSES = 1000
IMAGENET_OF = f"{IMAGENET}:"
"""Before the name of a model, where no setting names one."""


def resolve_imagenet(run: RunSpec, fetch: Fetch | None = None) -> RunSpec:
    """Replace `imagenet` by the path of the cached canonical file; make the file at first use.

    Both backends then start from the same file, whichever framework published it.

    Args:
        run: The run.
        fetch: Downloads the tensors of a backend's model, given both names; None for a download in
            a worker of that framework.

    Raises:
        UsageError: Nobody publishes ImageNet weights of this model with these options.
    """
    if run.initial_weights != IMAGENET:
        return run
    return run.replace(initial_weights=str(locate_imagenet(run.model_spec, fetch)))


def locate_imagenet(model: ModelSpec, fetch: Fetch | None = None) -> Path:
    """Return the cached canonical file of a model's ImageNet weights; make it at first use.

    Args:
        model: The model.
        fetch: As in `resolve_imagenet`.

    Raises:
        UsageError: As `resolve_imagenet`.
    """
    origin = find_imagenet_origin(model)
    # The name holds the origin, since a model's lineages come from different frameworks.
    path = cache_folder() / f"{model.name}-{origin.backend}-{origin.name}.safetensors"
    if not path.exists():
        tensors = (fetch or fetch_in_worker)(origin.backend, origin.name)
        write_imagenet(path, model, origin, tensors)
    elif VIEW not in read_texts(path) and (texts := describe_view(model, origin)):
        # Written before the header had the view.
        arrays, metadata = read_arrays_and_metadata(path)
        write_arrays(path, arrays, **{**metadata, **texts})
    return path


def locate_named(name: str, fetch: Fetch | None = None) -> Path:
    """Return the cached ImageNet weights of a model of which the name alone is known.

    Of several lineages it takes the model's own, unless the framework that publishes it is missing.

    Args:
        name: Name of the model.
        fetch: As in `resolve_imagenet`.

    Raises:
        UsageError: As `resolve_imagenet`.
    """
    own = lineage_of(ModelSpec(name=name)) or ""
    lineages = [lineage for model, lineage in IMAGENET_ORIGINS if model == name]
    lineages.sort(key=lambda lineage: lineage != own)
    there = [key for key in lineages if not find_missing(IMAGENET_ORIGINS[name, key].backend)]
    chosen = next(iter(there), own)
    return locate_imagenet(ModelSpec(name=name, options={LINEAGE: chosen} if chosen else {}), fetch)


def write_imagenet(path: Path, model: ModelSpec, origin: ImagenetOrigin, tensors: Arrays) -> None:
    """Convert downloaded tensors (…) and write canonical `Weights` into the cache.

    The header has the published view, for those who read the file by its path.
    """
    published = ModelSpec(name=model.name, options=dict(origin.options))
    shape = find_model(model.name).example_input
    network = published.declare(shape, IMAGENET_CLASSES)
    scheme = find_scheme(network, find_schemes(model.name), tensors, origin.scheme)
    if scheme is None:
        raise ValueError(f"Got the origin {origin}, which names no scheme. Expected one that does.")
    weights = to_canonical(network, scheme, tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = weight_metadata(published) | describe_view(model, origin)
    write_arrays(path, weights, origin=f"{origin.backend} {origin.name}", **metadata)


def describe_view(model: ModelSpec, origin: ImagenetOrigin) -> dict[str, str]:
    """Return the published view as text of a header; {} if none is known."""
    view = find_view(model.name, origin.scheme)
    return {VIEW: json.dumps(view.settings())} if view else {}


def fetch_in_worker(backend: str, name: str) -> Arrays:
    """Download arrays (…) in a process of the framework that publishes the weights.

    Raises:
        UsageError: The download failed.
    """
    with Worker(backend) as worker:
        return worker.call(Operations.fetch_imagenet, name=name)


def cache_folder() -> Path:
    """Return the folder of downloaded weights, next to the other caches."""
    return cache_root() / "weights"
