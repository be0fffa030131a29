"""PyTorch's optimisers, with one coupled L2 coefficient a parameter.

`weight_decays` are coefficients in the gradient: gradient += coefficient * parameter.
"""

from collections.abc import Sequence
from typing import Any

import torch

from poc.shared.spec.run import OptimizerSpec


class SGD(torch.optim.SGD):
    """v = momentum * v + g; p -= rate * v (Nesterov: g + momentum * v)."""

    def __init__(
        self,
        variables: Sequence[torch.Tensor],
        *,
        weight_decays: Sequence[float],
        momentum: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            _groups(variables, weight_decays), lr=0.0, momentum=momentum, nesterov=nesterov
        )


class Adam(torch.optim.Adam):
    """Moments with bias correction; epsilon is added outside the root, after the correction."""

    def __init__(
        self,
        variables: Sequence[torch.Tensor],
        *,
        weight_decays: Sequence[float],
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        is_decoupled: bool = False,
    ) -> None:
        super().__init__(
            _groups(variables, weight_decays),
            lr=0.0,
            betas=(beta1, beta2),
            eps=epsilon,
            decoupled_weight_decay=is_decoupled,
            fused=True,
        )


def build_optimizer(
    spec: OptimizerSpec, variables: Sequence[torch.Tensor], weight_decays: Sequence[float]
) -> torch.optim.Optimizer:
    """The optimiser of a run.

    `weight_decays` are the coefficients that the layers ask for; the run's own comes on top.
    """
    decays = [decay + spec.weight_decay for decay in weight_decays]
    if spec.name == "sgd":
        return SGD(variables, weight_decays=decays, momentum=spec.momentum, nesterov=spec.nesterov)
    return Adam(
        variables,
        weight_decays=decays,
        beta1=spec.beta1,
        beta2=spec.beta2,
        epsilon=spec.epsilon,
        is_decoupled=spec.name == "adamw",
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, learning_rate: torch.Tensor | float
) -> None:
    """Rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def _groups(
    variables: Sequence[torch.Tensor], weight_decays: Sequence[float]
) -> list[dict[str, Any]]:
    """One parameter group for each distinct coefficient."""
    groups: dict[float, list[torch.Tensor]] = {}
    for variable, decay in zip(variables, weight_decays, strict=True):
        groups.setdefault(decay, []).append(variable)
    return [{"params": members, "weight_decay": decay} for decay, members in groups.items()]
