"""Pools in PyTorch: over windows, and over the entire map."""

import torch
from torch.nn import functional as F

from poc.shared.spec.networks.layers import Pads

from .convolution import NO_PADS, _pad
from .declared import Declared


class Pool2D(Declared):
    """Maximum or average over windows: (N, C, H, W) -> (N, C, H', W').

    With `count_padding`, padded zeros count like pixels.
    """

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
        """Pool windows of maps (N, C, H, W)."""
        if self.mode == "max":
            # PyTorch's own padding never wins a maximum and is equal on both sides. Other pads, and
            # zeros that count, are added before the pool.
            lowest = 0 if self.count_padding else torch.finfo(inputs.dtype).min
            padded = _pad(inputs, self.pads, lowest)
            return F.max_pool2d(padded, self.kernel_size, self.strides)
        # Padded zeros add nothing to the sum; below, the divisor leaves them out too.
        means = F.avg_pool2d(_pad(inputs, self.pads, 0), self.kernel_size, self.strides)
        if self.count_padding or self.pads == NO_PADS:
            return means
        ones = _pad(torch.ones_like(inputs[:1, :1]), self.pads, 0)
        return means / F.avg_pool2d(ones, self.kernel_size, self.strides)


class GlobalPool(Declared):
    """Mean or maximum over height and width: (N, C, H, W) -> (N, C), or (N, C, 1, 1)."""

    def __init__(
        self, *, mode: str = "average", keep_axes: bool = False, dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.mode, self.keep_axes = mode, keep_axes

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Pool all pixels of maps (N, C, H, W)."""
        reduce = torch.mean if self.mode == "average" else torch.amax
        return reduce(inputs, dim=(2, 3), keepdim=self.keep_axes)
