"""Batch norm in PyTorch: its kernels, and first and second derivatives that run them again.

On a CPU PyTorch's channels-last kernels of training take the channels of one pixel at a time. If
these do not fill vector registers, the rest goes value by value: 8 channels take three times as
long as they could, 3 channels over ten times (benchmarks/batch_norm.py). Here neighbouring pixels
are then laid side by side, as if they were more channels. PyTorch's own second derivative is exact
and slow: dozens of element-wise operations. Here it runs the backward kernel again.

With one value per channel the variance is 0 and the output beta; the moving variance, which would
be divided by n - 1 = 0, does not change.
"""

import math
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import has_torch_function_unary

# How often each function ran. Tests read it: a function never called fails silently.
CALLS = {"batch_norm": 0, "batch_norm_twice": 0}
# float32 values in the widest vector register; pixels from which laying side by side saves time.
_VECTOR_WIDTH, _MIN_PIXELS = 16, 10_000


def normalize_by_batch(
    inputs: torch.Tensor,
    gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
    moving_mean: torch.Tensor,
    moving_variance: torch.Tensor,
    *,
    momentum: float,
    epsilon: float,
) -> torch.Tensor:
    """Normalise (N, C, H, W) or (N, C) by the batch, and update the moving statistics (C,)."""
    is_single = holds_one_value(inputs)
    # `efficient_second_order` watches PyTorch's function, so inside it must be that one.
    if not is_single and (has_torch_function_unary(inputs) or _pixels_aside(inputs) == 1):
        return F.batch_norm(
            inputs,
            moving_mean,
            moving_variance,
            gamma,
            beta,
            training=True,
            momentum=1 - momentum,
            eps=epsilon,
        )
    outputs, mean, variance = batch_norm(inputs, gamma, beta, epsilon)
    update_moving(moving_mean, mean, momentum)
    if not is_single:
        update_moving(moving_variance, variance, momentum)
    return outputs


def holds_one_value(inputs: torch.Tensor) -> bool:
    """Return True if the batch has a single value per channel, such as (1, C)."""
    return inputs.numel() == inputs.shape[1]


def normalize_by_moving(
    inputs: torch.Tensor,
    gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
    moving_mean: torch.Tensor,
    moving_variance: torch.Tensor,
    *,
    epsilon: float,
) -> torch.Tensor:
    """Normalise (N, C, H, W) or (N, C) by the moving statistics (C,), as in evaluation."""
    return F.batch_norm(inputs, moving_mean, moving_variance, gamma, beta, eps=epsilon)


def update_moving(moving: torch.Tensor, batch: torch.Tensor, momentum: float) -> None:
    """Keep the share `momentum` of a moving statistic (C,); take the rest from the batch's (C,)."""
    moving.mul_(momentum).add_(batch, alpha=1 - momentum)


def batch_norm(
    inputs: torch.Tensor,
    gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
    epsilon: float,
    *,
    linear_only: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Normalise maps or vectors by the batch, with efficient first and second derivatives.

    Args:
        inputs: (N, C, H, W) or (N, C).
        gamma: (C,), or None for 1.
        beta: (C,), or None for 0.
        epsilon: Added to the variance.
        linear_only: Only the part of the second derivative that is linear in the gradient from
            above is wanted, as in a forward-mode pass.

    Returns:
        Outputs of the inputs' shape, batch mean (C,) and Bessel-corrected batch variance (C,). The
        gradient treats the last two as constants. The variance of one value is 0.
    """
    if holds_one_value(inputs):
        return _normalise_one_value(inputs, gamma, beta, epsilon)
    mean = torch.zeros(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    variance = torch.zeros_like(mean)
    outputs = _BatchNorm.apply(inputs, gamma, beta, mean, variance, epsilon, linear_only)
    return outputs, mean, variance


def _normalise_one_value(
    inputs: torch.Tensor, gamma: torch.Tensor | None, beta: torch.Tensor | None, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return beta, the value itself and a variance of 0; x - x keeps the inputs' gradient, 0."""
    shape, mean = (1, -1) + (1,) * (inputs.ndim - 2), inputs.detach().flatten()
    outputs = (inputs - inputs) * epsilon**-0.5
    if gamma is not None:
        outputs = outputs * gamma.view(shape)
    if beta is not None:
        outputs = outputs + beta.view(shape)
    return outputs.to(inputs.dtype), mean, torch.zeros_like(mean)


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Any,
        gamma: Any,
        beta: Any,
        batch_mean: Any,
        batch_variance: Any,
        epsilon: float,
        linear_only: bool,
    ) -> torch.Tensor:
        CALLS["batch_norm"] += 1
        if _pixels_aside(inputs) == 1:
            outputs, mean, inverse = torch.native_batch_norm(
                inputs, gamma, beta, batch_mean, batch_variance, True, 1.0, epsilon
            )
        else:
            outputs, mean, inverse = _wide_batch_norm(
                inputs, gamma, beta, batch_mean, batch_variance, epsilon
            )
        ctx.save_for_backward(inputs, gamma, mean, inverse)
        ctx.epsilon, ctx.linear_only = epsilon, linear_only
        return outputs

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        inputs, gamma, mean, inverse = ctx.saved_tensors
        gradients = _BatchNormGradient.apply(
            upstream, inputs, gamma, mean, inverse, ctx.epsilon, ctx.linear_only
        )
        needed = ctx.needs_input_grad
        wanted = [value if needed[i] else None for i, value in enumerate(gradients)]
        return (*wanted, None, None, None, None)


class _BatchNormGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        upstream: Any,
        inputs: Any,
        gamma: Any,
        mean: Any,
        inverse: Any,
        epsilon: float,
        linear_only: bool,
    ) -> Any:
        ctx.set_materialize_grads(False)
        to_inputs, to_gamma, to_beta = _batch_norm_backward(
            upstream, inputs, gamma, mean, inverse, epsilon
        )
        kept = None if linear_only else upstream
        ctx.save_for_backward(kept, inputs, gamma, mean, inverse, to_gamma, to_beta)
        ctx.epsilon, ctx.linear_only = epsilon, linear_only
        return to_inputs, to_gamma, to_beta

    @staticmethod
    def backward(ctx: Any, for_inputs: Any, for_gamma: Any, for_beta: Any) -> Any:
        """Return the derivatives of <u, r*gamma*P(g)> + <ug, sum(g*z)> + <ub, sum(g)>.

        z is the normalised input, r the inverse deviation and P(g) = g - mean(g) - z*mean(g*z),
        which is symmetric: r*P(u) is the backward kernel with gamma = 1. Nothing divides by gamma.
        """
        CALLS["batch_norm_twice"] += 1
        g, inputs, gamma, mean, r, sum_gz, sum_g = ctx.saved_tensors
        zero = torch.zeros_like(mean)
        scale = torch.ones_like(mean) if gamma is None else gamma
        ug = zero if for_gamma is None else for_gamma
        ub = zero if for_beta is None else for_beta
        u = torch.zeros_like(inputs) if for_inputs is None else for_inputs
        projected, sum_uz, _ = _batch_norm_backward(u, inputs, None, mean, r, ctx.epsilon)
        to_upstream = _combine(ub - ug * mean * r, (ug * r, inputs), (scale, projected))
        if ctx.linear_only:
            return to_upstream, None, None, None, None, None, None
        count = inputs.numel() / inputs.shape[1]
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        to_gamma = (projected * g).sum(axes)
        of_g = r * (ug - scale * r * sum_uz / count)
        of_z = -(of_g * sum_gz + scale * to_gamma * r) / count
        to_inputs = _combine(
            -of_g * sum_g / count - of_z * r * mean,
            (of_z * r, inputs),
            (of_g, g),
            (-scale * r * sum_gz / count, projected),
        )
        return to_upstream, to_inputs, None if gamma is None else to_gamma, None, None, None, None


def _combine(constant: torch.Tensor, *terms: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Return constant + the sum of factor * maps, with constant and factors (C,)."""
    shape = (1, -1) + (1,) * (terms[0][1].ndim - 2)
    (factor, maps), *others = terms
    total = torch.addcmul(constant.view(shape), maps, factor.view(shape))
    for factor, maps in others:
        total.addcmul_(maps, factor.view(shape))
    return total


def _batch_norm_backward(
    upstream: Any, inputs: Any, gamma: Any, mean: Any, inverse: Any, epsilon: float
) -> Any:
    """Return the gradients of the inputs, gamma and beta."""
    aside = _pixels_aside(inputs)
    if aside == 1:
        return _backward_kernel(upstream, inputs, gamma, mean, inverse, epsilon, [True] * 3)
    upstream, maps = _widen(upstream, aside), _widen(inputs, aside)
    _, *sums = _backward_kernel(
        upstream,
        maps,
        None,
        mean.repeat(aside),
        inverse.repeat(aside),
        epsilon,
        [False, True, True],
    )
    sum_gz, sum_g = torch.stack(sums).view(2, aside, -1).sum(1)
    # r * (g - mean(g) - z * mean(g * z)) as one linear function of g and the inputs.
    scale = inverse if gamma is None else inverse * gamma
    count = inputs.numel() // inputs.shape[1]
    slope = scale * inverse * sum_gz / -count
    constant = -scale * sum_g / count - slope * mean
    scale, slope, constant = torch.stack((scale, slope, constant)).repeat(1, aside)
    to_inputs = torch.addcmul(constant, upstream, scale).addcmul_(maps, slope)
    return _narrow(to_inputs, inputs), sum_gz, sum_g


def _backward_kernel(
    upstream: Any, inputs: Any, gamma: Any, mean: Any, inverse: Any, epsilon: float, mask: Any
) -> Any:
    return torch.ops.aten.native_batch_norm_backward(
        upstream, inputs, gamma, None, None, mean, inverse, True, epsilon, mask
    )


def _wide_batch_norm(
    inputs: Any, gamma: Any, beta: Any, batch_mean: Any, batch_variance: Any, epsilon: float
) -> Any:
    """Return the outputs, the mean (C,) and the inverse deviation (C,)."""
    aside = _pixels_aside(inputs)
    maps, count = _widen(inputs, aside), inputs.numel() // inputs.shape[1]
    means, variances = torch.batch_norm_update_stats(maps, None, None, 0.0)
    # The variance of all is the mean of the parts' and the variance of their means.
    between, mean = torch.var_mean(means.view(aside, -1), 0, correction=0)
    variance = variances.view(aside, -1).mean(0).add_(between)
    batch_mean.copy_(mean)
    torch.mul(variance, count / (count - 1), out=batch_variance)
    gamma = torch.ones_like(mean) if gamma is None else gamma
    beta = torch.zeros_like(mean) if beta is None else beta
    repeated = torch.stack((gamma, beta, mean, variance)).repeat(1, aside)
    outputs, *_ = torch.native_batch_norm(maps, *repeated, False, 0.0, epsilon)
    return _narrow(outputs, inputs), mean, torch.rsqrt(variance + epsilon)


def _pixels_aside(inputs: torch.Tensor) -> int:
    """Return the number of pixels laid side by side, or 1 if PyTorch's kernel is fast enough."""
    channels = inputs.shape[1]
    if inputs.ndim != 4 or inputs.device.type != "cpu" or channels % _VECTOR_WIDTH == 0:
        return 1
    pixels = inputs.numel() // channels
    is_last = inputs.is_contiguous(memory_format=torch.channels_last)
    is_exact = inputs.dtype in (torch.float32, torch.float64)
    if pixels < _MIN_PIXELS or not is_last or not is_exact or torch.compiler.is_compiling():
        return 1
    least = _VECTOR_WIDTH // math.gcd(channels, _VECTOR_WIDTH)
    aside = math.gcd(pixels, 4 * least)
    return aside if aside >= least else 1


def _widen(maps: torch.Tensor, aside: int) -> torch.Tensor:
    """View channels-last maps (N, C, H, W) as (N * H * W / aside, aside * C)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, aside * maps.shape[1])


def _narrow(wide: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return widened maps in their shape before, (N, C, H, W)."""
    count, channels, height, width = like.shape
    return wide.view(count, height, width, channels).permute(0, 3, 1, 2)
