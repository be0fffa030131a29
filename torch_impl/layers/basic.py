"""Layers in PyTorch: one class for each kind that `poc.shared.spec.networks.layers` declares.

Maps are (N, C, H, W), kernels OIHW, as PyTorch has them; `weights.py` translates. Layers take
`in_channels` and explicit padding; values come from the shared layer.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from poc.shared.spec.networks.layers import Pads

from .batch_norm import batch_norm, holds_one_value, normalize_by_batch, normalize_by_moving

NO_PADS: Pads = ((0, 0), (0, 0))
ACTIVATIONS = {
    None: lambda inputs: inputs,
    "relu": F.relu,
    "relu6": F.relu6,
    "swish": F.silu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda inputs: torch.softmax(inputs, dim=1),
    "tanh": torch.tanh,
}


class Conv2D(nn.Conv2d):
    """Convolution with explicit padding: (N, in, H, W) -> (N, out, H', W')."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int] = (1, 1),
        pads: Pads = NO_PADS,
        groups: int = 1,
        use_bias: bool = True,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=strides,
            padding=_symmetric(pads) or 0,
            groups=groups,
            bias=use_bias,
            dtype=getattr(torch, dtype),
        )
        self.pads, self.activation = pads, activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Convolve, add the bias, activate."""
        padded = inputs if _symmetric(self.pads) else _pad(inputs, self.pads, 0)
        return ACTIVATIONS[self.activation](super().forward(padded))


class DepthwiseConv2D(Conv2D):
    """One filter for each channel: (N, C, H, W) -> (N, C, H', W')."""

    def __init__(
        self,
        channels: int,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int] = (1, 1),
        pads: Pads = NO_PADS,
        use_bias: bool = True,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            channels,
            channels,
            kernel_size,
            strides=strides,
            pads=pads,
            groups=channels,
            use_bias=use_bias,
            activation=activation,
            dtype=dtype,
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Convolve each channel, add the bias, activate."""
        return super().forward(inputs)


class SeparableConv2D(nn.Module):
    """Depthwise convolution, then 1x1 convolution with the only bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int] = (1, 1),
        pads: Pads = NO_PADS,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv2D(
            in_channels, kernel_size, strides=strides, pads=pads, use_bias=False, dtype=dtype
        )
        self.pointwise = Conv2D(
            in_channels, out_channels, (1, 1), activation=activation, dtype=dtype
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Depthwise, then pointwise."""
        return self.pointwise(self.depthwise(inputs))


class Dense(nn.Linear):
    """Affine map: (N, in) -> (N, out)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        use_bias: bool = True,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(in_channels, out_channels, bias=use_bias, dtype=getattr(torch, dtype))
        self.activation = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply, add the bias, activate."""
        return ACTIVATIONS[self.activation](super().forward(inputs))


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the channels; `momentum` is the share that is kept."""

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        scale: bool = True,
        center: bool = True,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        ones = torch.ones(channels, dtype=getattr(torch, dtype))
        self.weight = nn.Parameter(ones.clone()) if scale else None
        self.bias = nn.Parameter(torch.zeros_like(ones)) if center else None
        self.running_mean: torch.Tensor
        self.running_var: torch.Tensor
        self.register_buffer("running_mean", torch.zeros_like(ones))
        self.register_buffer("running_var", ones.clone())
        self.momentum, self.epsilon = momentum, epsilon

    def forward(self, inputs: torch.Tensor, training: bool = False) -> torch.Tensor:
        """Normalise with the batch's statistics (training) or the running ones."""
        values = (inputs, self.weight, self.bias, self.running_mean, self.running_var)
        if training:
            return normalize_by_batch(*values, momentum=self.momentum, epsilon=self.epsilon)
        return normalize_by_moving(*values, epsilon=self.epsilon)

    def normalize(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalise with the batch's mean and Bessel-corrected variance, (C,), and give both."""
        if holds_one_value(inputs):
            return batch_norm(inputs, self.weight, self.bias, self.epsilon)
        outputs = F.batch_norm(
            inputs, None, None, self.weight, self.bias, training=True, eps=self.epsilon
        )
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        variance, mean = torch.var_mean(inputs.to(self.running_mean.dtype), axes)
        return outputs, mean, variance


class Activation(nn.Module):
    """An activation that stands alone."""

    def __init__(self, activation: str, *, dtype: str = "float32") -> None:
        super().__init__()
        self.activation = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Activate."""
        return ACTIVATIONS[self.activation](inputs)


class Pool2D(nn.Module):
    """Maximum or average over windows; `count_padding` lets padded zeros take part."""

    def __init__(
        self,
        kernel_size: tuple[int, int],
        *,
        strides: tuple[int, int],
        pads: Pads = NO_PADS,
        mode: str = "max",
        count_padding: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.kernel_size, self.strides, self.pads = kernel_size, strides, pads
        self.mode, self.count_padding = mode, count_padding

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pool."""
        if self.mode == "max":
            lowest = 0 if self.count_padding else torch.finfo(inputs.dtype).min
            padded = _pad(inputs, self.pads, lowest)
            return F.max_pool2d(padded, self.kernel_size, self.strides)
        means = F.avg_pool2d(_pad(inputs, self.pads, 0), self.kernel_size, self.strides)
        if self.count_padding or self.pads == NO_PADS:
            return means
        ones = _pad(torch.ones_like(inputs[:1, :1]), self.pads, 0)
        return means / F.avg_pool2d(ones, self.kernel_size, self.strides)


class GlobalPool(nn.Module):
    """Mean or maximum over height and width: (N, C, H, W) -> (N, C), or (N, C, 1, 1)."""

    def __init__(
        self, *, mode: str = "average", keep_axes: bool = False, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.mode, self.keep_axes = mode, keep_axes

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pool."""
        reduce = torch.mean if self.mode == "average" else torch.amax
        return reduce(inputs, dim=(2, 3), keepdim=self.keep_axes)


class Flatten(nn.Module):
    """(N, C, H, W) -> (N, H * W * C), channels fastest as in NHWC."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Flatten."""
        return inputs.permute(0, 2, 3, 1).flatten(1)


class Dropout(nn.Module):
    """Inverted dropout with a given mask, (N, …) bool, true where a value is kept."""

    def __init__(self, rate: float, *, dtype: str = "float32") -> None:
        super().__init__()
        self.rate = rate

    def forward(self, inputs: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Drop and rescale; without a mask (evaluation) the input passes."""
        if kept is None:
            return inputs
        return inputs * (kept.to(inputs.dtype) / (1 - self.rate))


def _symmetric(pads: Pads) -> tuple[int, int] | None:
    (top, bottom), (left, right) = pads
    return (top, left) if top == bottom and left == right else None


def _pad(inputs: torch.Tensor, pads: Pads, value: Any) -> torch.Tensor:
    if pads == NO_PADS:
        return inputs
    (top, bottom), (left, right) = pads
    return F.pad(inputs, (left, right, top, bottom), value=value)
