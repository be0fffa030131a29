"""Layers of residual networks in PyTorch: scaled sums, gates, and branches that are dropped."""

import torch

from .declared import Declared


class ScaledAdd(Declared):
    """Sum with a scaled branch, x + scale * f, of maps (N, C, H, W) of one shape."""

    def __init__(self, scale: float, *, dtype: str = "float32") -> None:
        super().__init__()
        self.scale = scale

    def forward(self, inputs: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Add the scaled branch `residual` to `inputs`, (N, C, H, W) each."""
        return inputs + residual * self.scale


class StochasticDepth(Declared):
    """A branch that training may drop; masks (N, 1, …) bool are true where it is kept.

    Without a mask, training draws one as `torchvision.ops.stochastic_depth` does: one value per
    example, or one for the batch if `is_gate`.
    """

    def __init__(
        self,
        *,
        rate: float,
        is_gate: bool,
        training_factor: float,
        evaluation_factor: float,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.rate, self.is_gate = rate, is_gate
        self.training_factor, self.evaluation_factor = training_factor, evaluation_factor

    def forward(
        self,
        inputs: torch.Tensor,
        kept: torch.Tensor | None = None,
        training: bool | None = None,
    ) -> torch.Tensor:
        """Scale a branch (N, …), and drop the examples whose mask is false.

        `training` None means the module's own mode.
        """
        if not (self.training if training is None else training):
            return inputs * self.evaluation_factor
        if kept is not None:
            # The mask of a gate, (1,), is on the host.
            return inputs * (kept.to(inputs) * self.training_factor)
        if self.rate == 0:
            return inputs * self.training_factor
        return inputs * self._draw(inputs)

    def _draw(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return factors (N, 1, …), or (1, …) of a gate: 0, or the factor of a kept branch."""
        shape = (1 if self.is_gate else len(inputs),) + (1,) * (inputs.ndim - 1)
        kept = inputs.new_empty(shape).bernoulli_(1 - self.rate)
        # Divided, not multiplied by `training_factor`: torchvision rounds so.
        return kept if self.training_factor == 1 else kept.div_(1 - self.rate)


class Highway(Declared):
    """Highway gate, h * t + x * (1 - t), of maps (N, C, H, W) of one shape (arXiv 1505.00387)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(
        self, inputs: torch.Tensor, transformed: torch.Tensor, gate: torch.Tensor
    ) -> torch.Tensor:
        """Mix `transformed` and `inputs`, (N, C, H, W) each, by a gate of that shape."""
        return transformed * gate + inputs * (1 - gate)
