"""A bound on the global norm of a gradient, in PyTorch."""

from collections.abc import Sequence

import torch


def clip_gradients(
    gradients: Sequence[torch.Tensor], variables: Sequence[torch.Tensor], clip_norm: float
) -> Sequence[torch.Tensor]:
    """Return gradients (…) times min(1, clip_norm / (norm + 1e-6)), with their global norm.

    Args:
        gradients: The `.grad` of the variables, which are changed in place.
        variables: Those that the gradients are of.
        clip_norm: Largest norm.
    """
    torch.nn.utils.clip_grad_norm_(list(variables), clip_norm)
    return gradients


def clip_natively(
    gradients: Sequence[torch.Tensor], variables: Sequence[torch.Tensor], clip_norm: float
) -> Sequence[torch.Tensor]:
    """Return gradients (…) clipped as a script of the framework does; as `clip_gradients` here."""
    return clip_gradients(gradients, variables, clip_norm)
