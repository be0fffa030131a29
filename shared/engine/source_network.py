"""The source of a transfer method: found, checked, its weights read."""

from pathlib import Path
from typing import Any

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.spec.initializers import Weights, draw_weights
from poc.shared.spec.layers import prefixed
from poc.shared.spec.methods import find_method
from poc.shared.spec.network import Network
from poc.shared.spec.run import RunSpec
from poc.shared.spec.source import SOURCE_PREFIX

from .factorization import drawn_weights
from .files import Arrays
from .former_runs import check_origin
from .initial_weights import initial_weights
from .lineage import read_weights_of
from .run_folder import RunFolder
from .weight_check import check_weights

COEFFICIENT_PREFIX = "coefficient/"
CHECKPOINT = Path("checkpoints") / "best.safetensors"


def resolve_source(run: RunSpec) -> RunSpec:
    """Turn a run folder into its model, classes, normalisation and weight file.

    Raises:
        UsageError: Neither a run folder nor a file, or it contradicts the run; names both sides.
    """
    if run.source is None or run.source.weights is None:
        return run
    path = Path(run.source.weights)
    found: dict[str, Any] = {"weights": str(path.resolve())}
    if (path / "run.json").is_file():
        found = read_source_folder(path)
    elif not path.is_file():
        raise UsageError(
            f"received the source {str(path)!r}, which is neither a run folder nor a file; name "
            "the folder that `poc run` printed, or a canonical safetensors file"
        )
    given = run.source.model_dump(mode="json", exclude={"weights", "cache"})
    for key, value in given.items():
        if value is not None and found.setdefault(key, value) != value:
            raise UsageError(
                f"received source.{key}={value!r} for the source {str(path)!r}, which has "
                f"{found[key]!r}; leave source.{key} out"
            )
    return run.replace(source={**run.source.model_dump(mode="json"), **found})


def read_source_folder(path: Path) -> dict[str, Any]:
    """What a run folder says about the network that it trained."""
    trained = RunFolder(path).read_run()["run"]
    return {
        "weights": str((path / CHECKPOINT).resolve()),
        "model": trained["model"],
        "num_classes": trained["num_classes"],
        "normalization": trained["data"]["normalization"],
    }


def check_source(run: RunSpec) -> None:
    """Refuse a source that does not fit the run, before anything is built.

    Raises:
        UsageError: Taps, sizes, classes, normalisation, weights or caching; names both sides.
    """
    source = run.source_network
    if run.source is None or source is None:
        return
    for stage in run.stages:
        run.at_stage(stage.name).trained_network  # noqa: B018 - it refuses wrong pairs
    if run.source.normalization not in (None, run.data.normalization):
        raise UsageError(
            f"received data.normalization={run.data.normalization!r} for a source that was trained "
            f"with {run.source.normalization!r}; both see the same images: set "
            f"data.normalization={run.source.normalization}"
        )
    if run.source.cache and run.data.has_random_views:
        raise UsageError(
            "received source.cache=true with random views of the images; kept outputs would "
            "belong to other crops: set source.cache=false or remove the augmentation"
        )
    source_weights(run, source)


def require_source(run: RunSpec) -> None:
    """Refuse to train from a source that nobody has trained.

    Raises:
        UsageError: The method learns from a source and none is named.
    """
    if find_method(run.method).transfer and (run.source is None or run.source.weights is None):
        raise UsageError(
            f"received method {run.method!r} without a source; allowed is a trained network: add "
            "--source RUN_FOLDER or --source FILE.safetensors"
        )


def source_weights(run: RunSpec, source: Network) -> Weights:
    """The source's weights under their own names; drawn where no file is named.

    Raises:
        UsageError: Unreadable, or a tensor is missing, extra or misshapen.
    """
    if run.source is None or run.source.weights is None:
        # Under the prefix, so that a source like its target does not start equal to it.
        drawn = draw_weights(
            (prefixed(SOURCE_PREFIX.rstrip("/"), p) for p in source.parameters), run.seed
        )
        return {name.removeprefix(SOURCE_PREFIX): value for name, value in drawn.items()}
    model = run.source.model or run.model_spec
    weights: Arrays = read_weights_of(model, Path(run.source.weights))
    try:
        check_origin(run.source.weights, model)
        check_weights(source, weights)
    except UsageError as error:
        raise UsageError(f"source {run.source.weights!r}: {error}") from None
    return weights


def starting_weights(run: RunSpec) -> Weights:
    """All that a trainer starts from: drawn, inherited from the source, and the source itself.

    Returns:
        Canonical names of the trained network and of what is trained outside it; the source's
        under `source/`.
    """
    weights = drawn_weights(run)
    if run.initial_weights is not None:
        weights |= initial_weights(run)
    weights |= draw_weights(run.meta_parameters, run.seed)
    source, transfer = run.source_network, find_method(run.method).transfer
    if source is None or transfer is None:
        return weights
    origin = source_weights(run, source)
    inherited = transfer.inherit(run.method_settings, run.network, source)
    weights |= {name: origin[other] for name, other in inherited.items()}
    return weights | {SOURCE_PREFIX + name: value for name, value in origin.items()}


def known_numbers(run: RunSpec, progress: float) -> Arrays:
    """The step's coefficients as a trainer takes them; `progress` is 0 to 1 over the stage."""
    numbers = run.coefficients(progress)
    return {COEFFICIENT_PREFIX + name: np.asarray(value) for name, value in numbers.items()}
