"""Second derivatives of convolutions and attention in PyTorch, and the switch for efficient ones.

PyTorch's own double backward is exact and slow: it builds the weight gradient's derivative from a
convolution with a huge kernel. Here the backward pass is a function of its own, whose backward pass
is written with the same kernels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from .batch_norm import batch_norm, update_moving

# How often each function ran. Tests read it: a function that is never called fails silently.
CALLS = {"convolution": 0, "convolution_twice": 0}


def channel_products(maps: torch.Tensor) -> torch.Tensor:
    """Return products of all pairs of channels, summed over pixels: (N, C, P) -> (N, C, C)."""
    # The general rule of a product takes two products and adds. The gradient of a product with
    # itself is one.
    products: torch.Tensor = _ChannelProducts.apply(maps)
    return products


@contextmanager
def efficient_second_order(*, linear_only: bool = False) -> Iterator[None]:
    """Replace convolution and training batch norm inside by the functions of this module.

    Attention inside is computed by products, which can be differentiated twice.

    `linear_only` leaves out what is not linear in the gradient from above.
    """
    # Layers do not change: PyTorch hands every `conv2d` and `batch_norm` to the active mode.
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
        if func is F.scaled_dot_product_attention:
            # The fused kernels have no second derivative.
            with sdpa_kernel(SDPBackend.MATH):
                return func(*args, **kwargs)
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
    outputs, mean, variance = batch_norm(inputs, weight, bias, eps, linear_only=linear_only)
    update_moving(running_mean, mean, 1 - momentum)
    update_moving(running_var, variance, 1 - momentum)
    return outputs


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
        # A gradient that nobody asks for comes as None, not as zeros to compute with.
        ctx.set_materialize_grads(False)
        # The linear part does not read `upstream`: one map per layer less to keep.
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
        # The backward pass is bilinear in `upstream` and the kernel, and in `upstream` and the
        # inputs: each derivative is a convolution again, or a backward pass of one.
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
