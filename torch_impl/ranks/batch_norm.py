"""Batch norm over the batches of all ranks, in PyTorch.

Each rank has a part of the batch. The mean is the sum over all ranks by their count, and the
variance is that of the squared deviations from this mean, as one process has it. Backward, the two
sums over examples that the gradient of an input needs are added up over all ranks too. Gradients of
gamma and beta stay those of this rank's part, like all gradients of weights.

Where the gradient is differentiated again, the formula is written out, and its sums over ranks have
derivatives of any order.
"""

from typing import Any

import torch

from .collectives import RankedStep, sum_over_ranks, sum_through


def normalize_by_ranks(
    inputs: torch.Tensor,
    affine: tuple[torch.Tensor | None, torch.Tensor | None],
    moving: tuple[torch.Tensor, torch.Tensor],
    step: RankedStep,
    *,
    momentum: float,
    epsilon: float,
) -> torch.Tensor:
    """Normalise (N, C, H, W) or (N, C) by the batches of all ranks, and update the moving (C,).

    `affine` are gamma (C,) and beta (C,), None for 1 and 0; `moving` are the mean and the variance.
    With one value per channel over all ranks the output is beta, and the moving variance stays.
    """
    (gamma, beta), (moving_mean, moving_variance) = affine, moving
    channels, normalize = inputs.shape[1], _write_out if step.is_twice else _RankedNorm.apply
    dtype = torch.float64 if inputs.dtype == torch.float64 else torch.float32
    gamma = torch.ones(channels, dtype=dtype, device=inputs.device) if gamma is None else gamma
    beta = torch.zeros_like(gamma) if beta is None else beta
    outputs, mean, variance, count = normalize(inputs, gamma, beta, step.share, epsilon)
    corrected = variance * (count / (count - 1).clamp(min=1))
    # Chosen on the device, which the host does not wait for.
    corrected = torch.where(count > 1, corrected, moving_variance)
    for kept, batch in ((moving_mean, mean), (moving_variance, corrected)):
        kept.mul_(momentum).add_(batch, alpha=1 - momentum)
    return outputs


def _write_out(
    inputs: torch.Tensor,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    share: torch.Tensor,
    epsilon: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    axes = [axis for axis in range(inputs.ndim) if axis != 1]
    maps, weight = inputs.to(gamma.dtype), (share > 0).to(gamma.dtype)
    count = sum_over_ranks(weight * (inputs.numel() // inputs.shape[1]))
    mean = sum_through(weight * maps.sum(axes)) / count
    centred = maps - _along(mean, maps)
    variance = sum_through(weight * centred.square().sum(axes)) / count
    normal = centred * _along(torch.rsqrt(variance + epsilon), maps)
    outputs = _along(beta, maps) + normal * _along(gamma, maps)
    return outputs.to(inputs.dtype), mean.detach(), variance.detach(), count


class _RankedNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Any, gamma: Any, beta: Any, share: Any, epsilon: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        maps, weight = inputs.to(gamma.dtype), (share > 0).to(gamma.dtype)
        own = weight * (inputs.numel() // inputs.shape[1])
        total = sum_over_ranks(torch.cat([weight * maps.sum(axes), own.view(1)]))
        count = total[-1]
        mean = total[:-1] / count
        centred = maps - _along(mean, maps)
        variance = sum_over_ranks(weight * centred.square().sum(axes)) / count
        inverse = torch.rsqrt(variance + epsilon)
        ctx.save_for_backward(centred, gamma, inverse, count, weight)
        ctx.axes, ctx.dtype = axes, inputs.dtype
        # Factors of a channel are joined first: each operation on maps reads all of their memory.
        outputs = torch.addcmul(_along(beta, maps), centred, _along(gamma * inverse, maps))
        ctx.mark_non_differentiable(mean, variance, count)
        return outputs.to(inputs.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor, *_: Any) -> Any:
        centred, gamma, inverse, count, weight = ctx.saved_tensors
        upstream = upstream.to(gamma.dtype)
        # A stand-in has a loss of 0, which gives it a gradient of 0 here; nor is it in the
        # statistics.
        own = torch.stack([upstream.sum(ctx.axes), inverse * (upstream * centred).sum(ctx.axes)])
        mean_g, mean_gz = sum_over_ranks(own) / count
        scale = weight * gamma * inverse
        shifted = torch.addcmul(_along(-scale * mean_g, centred), upstream, _along(scale, centred))
        to_inputs = shifted.addcmul_(centred, _along(-scale * inverse * mean_gz, centred))
        return to_inputs.to(ctx.dtype), own[1], own[0], None, None


def _along(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """View values (C,) so that they meet the channels of maps (N, C, …)."""
    return values.view(1, -1, *[1] * (like.ndim - 2))
