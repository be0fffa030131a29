"""The teacher's weights, and all else that a trainer starts from."""

import hashlib
from pathlib import Path

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays
from poc.shared.files.whole import read_regular
from poc.shared.spec.networks.initializers import Weights, draw_weights
from poc.shared.spec.networks.layers import prefixed
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.run import RunSpec
from poc.shared.spec.teacher import TEACHER_PREFIX
from poc.shared.weights.check import check_weights
from poc.shared.weights.class_order import reordered_head
from poc.shared.weights.lineage import read_weights_of
from poc.shared.weights.origin import check_origin
from poc.shared.weights.start import drawn_weights, initial_weights

COEFFICIENT_PREFIX = "coefficient/"


def digest_weights(path: str) -> str:
    """Sha256 of a weight file.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return hashlib.sha256(read_regular(Path(path))).hexdigest()
    except OSError as error:
        raise UsageError(
            f"received the teacher {path!r}, which cannot be read ({error.strerror}); name a "
            "canonical safetensors file"
        ) from None


def teacher_weights(run: RunSpec, teacher: Network) -> Weights:
    """The teacher's weights under their own names; drawn where no file is named.

    Raises:
        UsageError: Unreadable, or a tensor is missing, extra or misshapen.
    """
    if run.teacher is None or run.teacher.weights is None:
        # Under the prefix, so that a teacher like its target does not start equal to it.
        drawn = draw_weights(
            (prefixed(TEACHER_PREFIX.rstrip("/"), p) for p in teacher.parameters), run.seed
        )
        return {name.removeprefix(TEACHER_PREFIX): value for name, value in drawn.items()}
    model = run.teacher.model or run.model_spec
    weights: Arrays = read_weights_of(model, Path(run.teacher.weights))
    try:
        check_origin(run.teacher.weights, model)
        check_weights(teacher, weights)
    except UsageError as error:
        raise UsageError(f"teacher {run.teacher.weights!r}: {error}") from None
    if run.teacher.class_order is not None:
        return weights | reordered_head(teacher, weights, run.teacher.class_order)
    return weights


def starting_weights(run: ResolvedRun) -> Weights:
    """Collect all that a trainer starts from: drawn, inherited from the teacher, and the teacher.

    Returns:
        Canonical names of the trained network and of what is trained outside it; the teacher's
        under `TEACHER_PREFIX`.
    """
    weights = drawn_weights(run)
    if run.spec.initial_weights is not None:
        weights |= initial_weights(run)
    weights |= draw_weights(run.meta_parameters, run.spec.seed)
    teacher, distillation = run.teacher_network, run.method.distillation
    if teacher is None or distillation is None:
        return weights
    origin = teacher_weights(run.spec, teacher)
    inherited = distillation.inherit(run.method_settings, run.network, teacher)
    weights |= {name: origin[other] for name, other in inherited.items()}
    return weights | {TEACHER_PREFIX + name: value for name, value in origin.items()}


def step_coefficients(run: ResolvedRun, progress: float) -> Arrays:
    """Give the step's coefficients as a trainer takes them; `progress` is 0 to 1 over the stage."""
    numbers = run.coefficients(progress)
    return {COEFFICIENT_PREFIX + name: np.asarray(value) for name, value in numbers.items()}
