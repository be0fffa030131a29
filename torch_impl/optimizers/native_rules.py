"""PyTorch's own optimisers, for runs with `habits.optimizer=native`.

The common rules are PyTorch's formulas, so they are the same here.
"""

from collections.abc import Sequence

import torch

from poc.shared.spec.training.optimizers import OptimizerSpec

from .rules import build_optimizer


def build_native_optimizer(
    spec: OptimizerSpec,
    variables: Sequence[torch.Tensor],
    weight_decays: Sequence[float],
    rate_factors: Sequence[float] | None = None,
    is_decayed: Sequence[bool] | None = None,
) -> torch.optim.Optimizer:
    """Build the framework's own optimiser; arguments as of `build_optimizer`, variables (…)."""
    return build_optimizer(spec, variables, weight_decays, rate_factors, is_decayed)
