"""Plan of the values that a run keeps of its frozen part, and of their key."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.errors import UsageError
from poc.shared.spec.networks.freezing import frontier
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.teacher import TEACHER_PREFIX

from .output_cache import LIMIT_BYTES, KeptOutputs, fingerprint_frozen, frozen_bytes, outputs_path

PARTS = ("train", "val", "test")


def keep_for_training(run: ResolvedRun, pipeline: Pipeline, weights: Weights) -> KeptOutputs | None:
    """Return the store for outputs of the frozen part on the training images, or None.

    A digest of the frozen canonical `Weights` is part of the key of a store on disk.

    Raises:
        UsageError: The run asks to keep outputs that change from epoch to epoch.
    """
    if run.method.fine_tuning is not None:
        return keep_frozen_part(run, pipeline, weights, is_training=True)
    teacher = run.spec.teacher
    if teacher is None or not teacher.cache:
        return None
    path = None
    if teacher.cache == "disk" and run.teacher_network is not None:
        own = {
            k.removeprefix(TEACHER_PREFIX): v
            for k, v in weights.items()
            if k.startswith(TEACHER_PREFIX)
        }
        network = run.teacher_network
        # Method and options are part of the key: they choose the outputs that are kept.
        method = {"method": run.spec.method, "options": run.method_settings.model_dump(mode="json")}
        what = fingerprint_frozen(network, [network.output], own)
        path = outputs_path(
            run.spec,
            what,
            {
                **describe_images(run, pipeline, is_training=True),
                **method,
                "stage": run.spec.stage,
                # Files from before the key was called "student" hold their values under former
                # names. With the key's new name they are not found, and are computed again.
                "student": repr(run.network),
            },
        )
    return KeptOutputs(
        pipeline.indices, setting="teacher.cache", path=path, precision=run.spec.precision
    )


def keep_frozen_part(
    run: ResolvedRun, pipeline: Pipeline, weights: Weights, *, is_training: bool
) -> KeptOutputs | None:
    """Return the store for values of the frozen part of a network that is tuned, or None.

    A digest of the frozen canonical `Weights` is part of the key of a store on disk.

    Raises:
        UsageError: The run asks to keep values that change from epoch to epoch.
    """
    network = run.trained_network
    setting = str(getattr(run.method_settings, "feature_cache", "off"))
    if run.method.fine_tuning is None or setting == "off":
        return None
    values = frontier(network)
    reason = refusal(run, values)
    # Evaluation never raises: its views are fixed, and training has refused already.
    if reason and setting != "auto" and is_training:
        raise UsageError(
            f"Got feature_cache={setting!r} with {reason}. Expected feature_cache=off or auto. "
            "Try --set feature_cache=auto."
        )
    size = frozen_bytes(network, values, len(pipeline.indices) * pipeline.num_views)
    # Random views matter to training alone; without frozen values nobody keeps anything.
    if (reason and (is_training or not values)) or (setting == "auto" and size > LIMIT_BYTES):
        return None
    path = None
    if setting == "disk":
        what = fingerprint_frozen(network, values, weights)
        path = outputs_path(run.spec, what, describe_images(run, pipeline, is_training=is_training))
    return KeptOutputs(
        pipeline.indices,
        setting=f"feature_cache={setting}",
        num_views=pipeline.num_views,
        path=path,
        precision=run.spec.precision,
    )


def refusal(run: ResolvedRun, values: tuple[str, ...]) -> str:
    """Say why nothing can be kept for the training images; return "" if it can."""
    if not values:
        return "a network whose first layers are trained, so that nothing stays the same"
    if run.spec.data.has_random_views:
        return "random views of the images, which look different in every epoch"
    return ""


def describe_images(
    run: ResolvedRun, pipeline: Pipeline, *, is_training: bool
) -> Mapping[str, Any]:
    """Describe what decides the pixels of a part: content, split, view and resolution."""
    data = run.spec.data
    view = data.train_view if is_training else data.eval_view
    return {
        # Sorted, since rows are kept in the order of positions and not of the epoch.
        "images": [pipeline.source.digests[index] for index in np.sort(pipeline.indices)],
        "split": fingerprint_positions(pipeline.indices),
        "view": view.model_dump(mode="json"),
        "image_shape": list(pipeline.image_shape),
        "interpolation": data.interpolation,
        "fill": data.fill,
        "normalization": data.normalization,
    }


def fingerprint_positions(indices: NDArray[np.int64]) -> str:
    """Return the SHA-256 of positions (k,), in rising order, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(np.sort(indices).tolist()).encode()).hexdigest()
