"""Convolutions in PyTorch: plain or grouped, depthwise, separable, pointwise."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from poc.shared.spec.networks.layers.window import Pads

from .basic import ACTIVATIONS, Dense
from .declared import Declared
from .lora import LowRank

NO_PADS: Pads = ((0, 0), (0, 0))


class Conv2D(Declared, nn.Conv2d):
    """Convolution with explicit padding: (N, in, H, W) -> (N, out, H', W').

    `lora` is the rank per group and the factor of a trained low-rank term of the kernel.
    """

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
        lora: tuple[int, float] | None = None,
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
        self.lora: LowRank | None = None
        if lora is not None:
            rank, scale = lora
            make = partial(Conv2D, groups=groups, use_bias=False, dtype=dtype)
            self.lora = LowRank(
                make(in_channels, groups * rank, kernel_size, strides=strides, pads=pads),
                make(groups * rank, out_channels, (1, 1)),
                scale=scale,
                dtype=dtype,
            )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Convolve (N, in, H, W) -> (N, out, H', W'), add the bias, activate."""
        # PyTorch pads both sides by the same number; TensorFlow's `SAME` may differ by one.
        padded = inputs if _symmetric(self.pads) else _pad(inputs, self.pads, 0)
        outputs = super().forward(padded)
        if self.lora is not None:
            outputs = outputs + self.lora(inputs)
        return ACTIVATIONS[self.activation](outputs)


class DepthwiseConv2D(Conv2D):
    """Depthwise convolution, with one filter per channel: (N, C, H, W) -> (N, C, H', W')."""

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
        """Convolve each channel of (N, C, H, W), add the bias, activate."""
        return super().forward(inputs)


class SeparableConv2D(Declared):
    """Depthwise, then 1x1 convolution with a bias: (N, in, H, W) -> (N, out, H', W')."""

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
        """Convolve (N, in, H, W) -> (N, out, H', W'): depthwise, then pointwise."""
        return self.pointwise(self.depthwise(inputs))


class PointwiseConv2D(Dense):
    """1x1 convolution as a matrix product: (N, in, H, W) -> (N, out, H, W)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        use_bias: bool = True,
        activation: str | None = None,
        lora: tuple[int, float] | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            use_bias=use_bias,
            activation=activation,
            lora=lora,
            dtype=dtype,
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply the channels of (N, in, H, W), add the bias, activate."""
        # Views for maps whose channels are last in memory, as the engine's are.
        outputs = self._project(inputs.permute(0, 2, 3, 1))
        return ACTIVATIONS[self.activation](outputs.permute(0, 3, 1, 2))


def _symmetric(pads: Pads) -> tuple[int, int] | None:
    (top, bottom), (left, right) = pads
    return (top, left) if top == bottom and left == right else None


def _pad(inputs: torch.Tensor, pads: Pads, value: Any) -> torch.Tensor:
    if pads == NO_PADS:
        return inputs
    (top, bottom), (left, right) = pads
    return F.pad(inputs, (left, right, top, bottom), value=value)


KINDS: dict[str, type[Declared]] = {
    "conv2d": Conv2D,
    "depthwise_conv2d": DepthwiseConv2D,
    "pointwise_conv2d": PointwiseConv2D,
    "separable_conv2d": SeparableConv2D,
}
