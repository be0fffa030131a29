"""The parts of a gradient that several ranks compute together, in PyTorch."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE, moving_statistics

from .methods import Objective
from .models import Model
from .ranks.collectives import counting, sum_all
from .weights import learning_names, named_variables


def norms_of_step(
    objective: Objective, extras: Mapping[str, torch.Tensor]
) -> AbstractContextManager[None]:
    """Return the block in which batch norms normalise by all ranks, if there are several.

    `extras` has kept outputs (N, …) and scalars ().
    """
    if EXAMPLE_SHARE not in extras:
        return nullcontext()
    is_local = objective.run.spec.batch_norm_sync == "local"
    return counting(None if is_local else extras[EXAMPLE_SHARE])


def take_gradients(model: Model) -> dict[str, torch.Tensor]:
    """Take the gradients (…) of earlier batches of an update out of `.grad`."""
    found = {
        name: variable.grad
        for name, variable in named_variables(model).items()
        if variable.grad is not None
    }
    model.zero_grad()
    return found


def sum_gradients(
    model: Model, gradients: Mapping[str, torch.Tensor], earlier: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return gradients (…) added up over ranks, and then those of earlier batches, if any."""
    names = learning_names(model)
    totals = sum_all([gradients[name] for name in names])
    for name, total in zip(names, totals, strict=True):
        # In place, in the memory layout of the parameter, on which the fused optimisers rely.
        gradients[name].copy_(total)
    for name, value in earlier.items():
        gradients[name].add_(value)
    return dict(gradients)


@torch.no_grad()
def average_statistics(
    objective: Objective, model: Model, num_examples: int, extras: Mapping[str, torch.Tensor]
) -> None:
    """Average running statistics (C,) over ranks by examples, if each normalises alone.

    `extras` has the share () of an example.
    """
    if objective.run.spec.batch_norm_sync != "local":
        return
    variables, names = named_variables(model), moving_statistics(model.network)
    share = extras[EXAMPLE_SHARE] * num_examples
    for name, total in zip(names, sum_all([share * variables[n] for n in names]), strict=True):
        variables[name].copy_(total)
