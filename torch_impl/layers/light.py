"""LightLayers in PyTorch (arXiv 2101.02268): convolution and dense layer through a bottleneck."""

import torch

from poc.shared.spec.networks.layers import Pads

from .basic import Dense
from .convolution import NO_PADS, Conv2D
from .declared import Declared


class LightConv2D(Declared):
    """Two convolutions through `rank` channels: (N, in, H, W) -> (N, out, H', W').

    z = inner_activation(conv(x, W1) + b1), then y = activation(conv(z, W2) + b2). `strides` and
    `pads` belong to the first convolution, `inner_strides` and `inner_pads` to the second.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        rank: int,
        strides: tuple[int, int] = (1, 1),
        pads: Pads = NO_PADS,
        inner_strides: tuple[int, int] = (1, 1),
        inner_pads: Pads = NO_PADS,
        inner_activation: str | None = "relu",
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.reduce = Conv2D(
            in_channels,
            rank,
            kernel_size,
            strides=strides,
            pads=pads,
            activation=inner_activation,
            dtype=dtype,
        )
        self.expand = Conv2D(
            rank,
            out_channels,
            kernel_size,
            strides=inner_strides,
            pads=inner_pads,
            activation=activation,
            dtype=dtype,
        )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Reduce (N, in, H, W) to `rank` channels, then expand to `out`."""
        return self.expand(self.reduce(inputs))


class LightDense(Declared):
    """Dense layer through `rank` values: (N, in) -> (N, out).

    y = activation((x @ (W1 * s)) @ (W2 * s) + b) with s = `factor`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rank: int = 8,
        factor: float = 1.0,
        activation: str | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.reduce = Dense(in_channels, rank, use_bias=False, dtype=dtype)
        self.expand = Dense(rank, out_channels, activation=activation, dtype=dtype)
        self.factor = factor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply (N, in) by both kernels, add the bias, activate."""
        # The two factors s are applied at once, to the narrow vectors (N, rank) between.
        return self.expand(self.reduce(inputs) * self.factor**2)
