"""Weights that a trainer starts from: those of its network and those of its teacher."""

import hashlib
from pathlib import Path

import numpy as np

from poc.shared.engine.numerics.class_weights import mean_class_weight
from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array, Arrays
from poc.shared.files.whole import read_regular
from poc.shared.spec.networks.initializers import Weights, draw_weights
from poc.shared.spec.networks.layers.declaration import prefixed
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
# Mean class weight () of the examples of an update; a step has it if the run weights classes.
MEAN_CLASS_WEIGHT = COEFFICIENT_PREFIX + "mean_class_weight"


def digest_weights(path: str) -> str:
    """Return the sha256 of a weight file, as hexadecimal digits.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        return hashlib.sha256(read_regular(Path(path))).hexdigest()
    except OSError as error:
        raise UsageError(
            f"Got the teacher {path!r}, which cannot be read ({error.strerror}). Expected a "
            "canonical safetensors file. Try naming one."
        ) from None


def teacher_weights(run: RunSpec, teacher: Network) -> Weights:
    """Read the teacher's weights, or draw them if no file is named.

    Returns:
        Canonical `Weights` of the teacher's own network, of the declared shapes.

    Raises:
        UsageError: The file is unreadable, or a tensor is missing, extra or misshapen.
    """
    if run.teacher is None or run.teacher.weights is None:
        # Names seed the draw: without the prefix, a teacher of the same architecture as its student
        # would start equal to it.
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
        what = str(error).removeprefix("Got ")
        raise UsageError(
            f"Got the teacher {run.teacher.weights!r} with {what} (teacher.model and "
            "teacher.num_classes say what the file holds.)"
        ) from None
    # Logits are compared class by class, so the last layer is permuted once instead of every batch.
    if run.teacher.class_order is not None:
        return weights | reordered_head(teacher, weights, run.teacher.class_order)
    return weights


def starting_weights(run: ResolvedRun) -> Weights:
    """Collect all weights that a trainer starts from.

    If the run names a file of initial weights, these replace the drawn values. Weights that the
    student inherits from its teacher replace both.

    Returns:
        Canonical `Weights` of the declared shapes: the trained network, the parameters that are
        trained outside it, and the teacher under `TEACHER_PREFIX`.
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


def step_coefficients(run: ResolvedRun, progress: float, labels: Array) -> Arrays:
    """Return the coefficients of a step as a trainer takes them.

    Args:
        run: The run, at a stage.
        progress: Position in the stage, from 0 to 1.
        labels: (N,) int64 of all examples of the update, or soft ones (N, num_classes).

    Returns:
        `COEFFICIENT_PREFIX` and a name -> number, as an array of shape ().
    """
    # As arrays, since a Python number would be a constant of the compiled step.
    numbers = run.coefficients(progress)
    found = {COEFFICIENT_PREFIX + name: np.asarray(value) for name, value in numbers.items()}
    weights = run.spec.loss.weights_of(run.spec.num_classes)
    if weights is not None:
        found[MEAN_CLASS_WEIGHT] = np.asarray(mean_class_weight(weights, labels))
    return found
