"""PyTorch's optimisers, with one coupled L2 coefficient per parameter.

`weight_decays` has one coupled L2 coefficient per variable: gradient += coefficient * variable,
which is a term of the loss under every rule. `rate_factors` has one factor of the learning rate per
variable; None means 1.
"""

from collections.abc import Sequence
from typing import Any

import torch

from poc.shared.spec.training.optimizers import OptimizerSpec


class SGD(torch.optim.SGD):
    """Stochastic gradient descent: v = momentum * v + g, p -= rate * v.

    With Nesterov, p -= rate * (g + momentum * v). Variables p, (…), are of any shape.
    """

    def __init__(
        self,
        variables: Sequence[torch.Tensor],
        *,
        weight_decays: Sequence[float],
        rate_factors: Sequence[float] | None = None,
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            _groups(variables, weight_decays, rate_factors),
            lr=0.0,
            momentum=momentum,
            nesterov=nesterov,
        )


class Adam(torch.optim.Adam):
    """Adam with bias correction; epsilon is added outside the root, after the correction.

    `decoupled_decays`, one per variable (…), shrink it by rate * decay, apart from the gradient:
    AdamW. None means none.
    """

    def __init__(
        self,
        variables: Sequence[torch.Tensor],
        *,
        weight_decays: Sequence[float],
        rate_factors: Sequence[float] | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        decoupled_decays: Sequence[float] | None = None,
    ) -> None:
        apart = decoupled_decays if any(decoupled_decays or ()) else None
        super().__init__(
            _groups(variables, weight_decays, rate_factors, apart),
            lr=0.0,
            betas=(beta1, beta2),
            eps=epsilon,
            decoupled_weight_decay=apart is not None,
            # One kernel per group, and on a GPU a skipped step of float16 does not wait.
            fused=True,
        )
        if apart is not None:
            self.register_step_pre_hook(_couple_decay)


def build_optimizer(
    spec: OptimizerSpec,
    variables: Sequence[torch.Tensor],
    weight_decays: Sequence[float],
    rate_factors: Sequence[float] | None = None,
    is_decayed: Sequence[bool] | None = None,
) -> torch.optim.Optimizer:
    """Build the optimiser of a run.

    Args:
        spec: The rule and its numbers, with the run's own weight decay.
        variables: Those that it moves, of any shape (…).
        weight_decays: Coefficients that the layers ask for, one per variable. The run's own is
            added, except for AdamW, which keeps it out of the gradient.
        rate_factors: Factors of the learning rate, one per variable; None means 1.
        is_decayed: True if the run's own decay reaches a variable, one per variable; None: all.
    """
    reached = is_decayed or [True] * len(variables)
    own = [spec.weight_decay if is_reached else 0.0 for is_reached in reached]
    # A layer's own decay is part of its definition (a term of the loss), also under AdamW.
    decays = list(weight_decays)
    if spec.name != "adamw":
        decays = [layer + run for layer, run in zip(weight_decays, own, strict=True)]
    if spec.name == "sgd":
        return SGD(
            variables,
            weight_decays=decays,
            rate_factors=rate_factors,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
        )
    return Adam(
        variables,
        weight_decays=decays,
        rate_factors=rate_factors,
        beta1=spec.beta1,
        beta2=spec.beta2,
        epsilon=spec.epsilon,
        decoupled_decays=own if spec.name == "adamw" else None,
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, learning_rate: torch.Tensor | float
) -> None:
    """Set the learning rate, a scalar (), of the next update."""
    for group in optimizer.param_groups:
        # The schedule has one rate per step, and PyTorch one per group.
        group["lr"] = learning_rate * group["rate_factor"]


def _groups(
    variables: Sequence[torch.Tensor],
    weight_decays: Sequence[float],
    rate_factors: Sequence[float] | None,
    decoupled_decays: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """Return one parameter group for each distinct set of coefficients and factor.

    PyTorch's rule has room for one decay: the decoupled one, if there is one. The hook below then
    adds the coupled one before each step.
    """
    factors = rate_factors or [1.0] * len(variables)
    decoupled = decoupled_decays or [0.0] * len(variables)
    groups: dict[tuple[float, float, float], list[torch.Tensor]] = {}
    for variable, *key in zip(variables, weight_decays, decoupled, factors, strict=True):
        groups.setdefault((key[0], key[1], key[2]), []).append(variable)
    return [
        {
            "params": members,
            "weight_decay": coupled if decoupled_decays is None else apart,
            "coupled_decay": coupled,
            "rate_factor": factor,
        }
        for (coupled, apart, factor), members in groups.items()
    ]


@torch.no_grad()
def _couple_decay(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Add coefficient * parameter to the gradients, which PyTorch's decoupled rule does not."""
    for group in optimizer.param_groups:
        members = [variable for variable in group["params"] if variable.grad is not None]
        if group["coupled_decay"] and members:
            gradients = [variable.grad for variable in members]
            torch._foreach_add_(gradients, members, alpha=group["coupled_decay"])
