"""The parts of a gradient that several ranks compute together, in TensorFlow."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import tensorflow as tf

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE, moving_statistics

from .methods import Objective
from .models import Model
from .ranks.collectives import counting, sum_all
from .weights import learning_names, named_variables


def norms_of_step(
    objective: Objective, extras: Mapping[str, tf.Tensor]
) -> AbstractContextManager[None]:
    """Return the block in which batch norms normalise by all ranks, if there are several.

    `extras` has kept outputs (N, …) and scalars ().
    """
    if EXAMPLE_SHARE not in extras:
        return nullcontext()
    is_local = objective.run.spec.batch_norm_sync == "local"
    return counting(None if is_local else extras[EXAMPLE_SHARE])


def take_gradients(model: Model) -> dict[str, tf.Tensor]:
    """Take the gradients (…) of earlier batches of an update away: none, they are kept apart."""
    return {}


def sum_gradients(
    model: Model, gradients: Mapping[str, tf.Tensor], earlier: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Return gradients (…) added up over ranks, and then those of earlier batches, if any."""
    names = learning_names(model)
    totals = sum_all([gradients[name] for name in names])
    found = {**gradients, **dict(zip(names, totals, strict=True))}
    return {**found, **{name: found[name] + value for name, value in earlier.items()}}


def average_statistics(
    objective: Objective, model: Model, num_examples: int, extras: Mapping[str, tf.Tensor]
) -> None:
    """Average running statistics (C,) over ranks by examples, if each normalises alone.

    `extras` has the share () of an example.
    """
    if objective.run.spec.batch_norm_sync != "local":
        return
    variables, names = named_variables(model), moving_statistics(model.network)
    share = extras[EXAMPLE_SHARE] * num_examples
    for name, total in zip(names, sum_all([share * variables[n] for n in names]), strict=True):
        variables[name].assign(total)
