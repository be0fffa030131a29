"""Second derivatives of convolution and batch norm in PyTorch, once per layer kind.

PyTorch's own double backward of both is exact and slow: it builds the weight gradient's derivative
from a convolution with a huge kernel, and batch norm's from dozens of element-wise operations. Here
each backward pass is a function of its own, whose backward pass is written with the same kernels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# How often each function ran: a test reads it, since one that is never called fails silently.
CALLS = {"convolution": 0, "convolution_twice": 0, "batch_norm": 0, "batch_norm_twice": 0}


def batch_norm(
    inputs: torch.Tensor,
    gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
    epsilon: float,
    *,
    linear_only: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Batch norm of maps or vectors, with efficient first and second derivatives.

    Args:
        inputs: (N, C, H, W) or (N, C).
        gamma: (C,), or none for 1.
        beta: (C,), or none for 0.
        epsilon: Added to the variance.
        linear_only: Only the part of the second derivative that is linear in the gradient from
            above is wanted, as in a forward-mode pass.

    Returns:
        Outputs, batch mean (C,) and Bessel-corrected batch variance (C,); the last two are
        constants to the gradient.
    """
    mean = torch.zeros(inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    variance = torch.zeros_like(mean)
    outputs = _BatchNorm.apply(inputs, gamma, beta, mean, variance, 1.0, epsilon, linear_only)
    return outputs, mean, variance


def channel_products(maps: torch.Tensor) -> torch.Tensor:
    """Products of all pairs of channels, summed over pixels: (N, C, P) -> (N, C, C).

    The gradient of a product with itself is one product, where the general rule takes two and adds.
    """
    products: torch.Tensor = _ChannelProducts.apply(maps)
    return products


@contextmanager
def efficient_second_order(*, linear_only: bool = False) -> Iterator[None]:
    """Inside, every layer's convolution and training batch norm take the functions of this module.

    Layers stay as they are: PyTorch hands `conv2d` and `batch_norm` to the active mode.
    """
    with _Exchange(linear_only):
        yield


class _Exchange(TorchFunctionMode):
    def __init__(self, linear_only: bool) -> None:
        super().__init__()
        self.linear_only = linear_only

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d:
            return _convolve(*args, **kwargs, linear_only=self.linear_only)
        if func is F.batch_norm and kwargs.get("training"):
            return _normalise(*args, **kwargs, linear_only=self.linear_only)
        return func(*args, **kwargs)


def _convolve(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    linear_only: bool,
) -> torch.Tensor:
    geometry = (_pair(stride), _pair(padding), _pair(dilation), groups)
    return _Convolution.apply(inputs, weight, bias, geometry, linear_only)


def _normalise(
    inputs: torch.Tensor,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    *,
    training: bool,
    momentum: float,
    eps: float,
    linear_only: bool,
) -> torch.Tensor:
    return _BatchNorm.apply(
        inputs, weight, bias, running_mean, running_var, momentum, eps, linear_only
    )


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Any, kernel: Any, bias: Any, geometry: Any, linear_only: bool
    ) -> torch.Tensor:
        CALLS["convolution"] += 1
        ctx.save_for_backward(inputs, kernel)
        ctx.geometry, ctx.linear_only = geometry, linear_only
        return torch.conv2d(inputs, kernel, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        mask = tuple(ctx.needs_input_grad[:3])
        gradients = _ConvolutionGradient.apply(
            upstream, *ctx.saved_tensors, mask, ctx.geometry, ctx.linear_only
        )
        return (*gradients, None, None)


class _ConvolutionGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, upstream: Any, inputs: Any, kernel: Any, mask: Any, geometry: Any, linear: bool
    ) -> Any:
        ctx.set_materialize_grads(False)
        # The linear part does not read it: a map of each layer less to keep.
        ctx.save_for_backward(None if linear else upstream, inputs, kernel)
        ctx.geometry, ctx.linear_only, ctx.shape = geometry, linear, upstream.shape
        return _convolution_backward(upstream, inputs, kernel, mask, geometry)

    @staticmethod
    def backward(ctx: Any, for_inputs: Any, for_kernel: Any, for_bias: Any) -> Any:
        CALLS["convolution_twice"] += 1
        upstream, inputs, kernel = ctx.saved_tensors
        geometry = ctx.geometry
        to_upstream = to_inputs = to_kernel = None
        if for_kernel is not None:
            to_upstream = torch.conv2d(inputs, for_kernel, for_bias, *geometry)
        elif for_bias is not None:
            to_upstream = for_bias.view(1, -1, 1, 1).expand(ctx.shape)
        if for_inputs is not None:
            part = torch.conv2d(for_inputs, kernel, None, *geometry)
            to_upstream = part if to_upstream is None else part.add_(to_upstream)
        if not ctx.linear_only:
            if for_kernel is not None and ctx.needs_input_grad[1]:
                mask = (True, False, False)
                to_inputs, *_ = _convolution_backward(upstream, inputs, for_kernel, mask, geometry)
            if for_inputs is not None:
                mask = (False, True, False)
                _, to_kernel, _ = _convolution_backward(
                    upstream, for_inputs, kernel, mask, geometry
                )
        return to_upstream, to_inputs, to_kernel, None, None, None


def _convolution_backward(
    upstream: torch.Tensor, inputs: torch.Tensor, kernel: torch.Tensor, mask: Any, geometry: Any
) -> Any:
    strides, pads, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(
        upstream,
        inputs,
        kernel,
        [kernel.shape[0]],
        strides,
        pads,
        dilation,
        False,
        [0, 0],
        groups,
        mask,
    )


class _ChannelProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(maps)
        return maps @ maps.mT

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> torch.Tensor:
        (maps,) = ctx.saved_tensors
        return (upstream + upstream.mT) @ maps


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Any,
        gamma: Any,
        beta: Any,
        running_mean: Any,
        running_variance: Any,
        taken: float,
        epsilon: float,
        linear_only: bool,
    ) -> torch.Tensor:
        CALLS["batch_norm"] += 1
        outputs, mean, inverse = torch.native_batch_norm(
            inputs, gamma, beta, running_mean, running_variance, True, taken, epsilon
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
        return (*wanted, None, None, None, None, None)


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
        """Derivatives of <u, r*gamma*P(g)> + <ug, sum(g*z)> + <ub, sum(g)>.

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
    """Constant + sum of factor * maps, with constant and factors (C,)."""
    shape = (1, -1) + (1,) * (terms[0][1].ndim - 2)
    (factor, maps), *others = terms
    total = torch.addcmul(constant.view(shape), maps, factor.view(shape))
    for factor, maps in others:
        total.addcmul_(maps, factor.view(shape))
    return total


def _batch_norm_backward(
    upstream: Any, inputs: Any, gamma: Any, mean: Any, inverse: Any, epsilon: float
) -> Any:
    return torch.ops.aten.native_batch_norm_backward(
        upstream, inputs, gamma, None, None, mean, inverse, True, epsilon, [True, True, True]
    )
