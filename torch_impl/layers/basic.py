"""Layers of vectors, and layers that keep the shape of maps, in PyTorch.

Maps are (N, C, H, W), kernels OIHW, as PyTorch has them; `weights.py` translates. Layers take
`in_channels` and explicit padding. The values come from `shared`.
"""

import torch
from torch import nn
from torch.nn import functional as F

from poc.torch_impl.ranks.batch_norm import normalize_by_ranks
from poc.torch_impl.ranks.collectives import current_step

from .batch_norm import (
    batch_norm,
    holds_one_value,
    normalize_by_batch,
    normalize_by_moving,
    update_moving,
)
from .declared import Declared
from .lora import LowRank

ACTIVATIONS = {
    None: lambda inputs: inputs,
    "relu": F.relu,
    "relu6": F.relu6,
    "swish": F.silu,
    "hard_swish": F.hardswish,
    "gelu": F.gelu,
    "gelu_tanh": lambda inputs: F.gelu(inputs, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    # Not `F.hardsigmoid`, whose gradient has float32's 1 / 6 in float64 too.
    "hard_sigmoid": lambda inputs: F.relu6(inputs + 3) / 6,
    # Tokens (N, T, C) have their channels last, maps (N, C, H, W) do not.
    "softmax": lambda inputs: torch.softmax(inputs, dim=2 if inputs.ndim == 3 else 1),
    "tanh": torch.tanh,
}


class Dense(Declared, nn.Linear):
    """Affine map of the last axis with an activation: (N, …, in) -> (N, …, out).

    `lora` is the rank and the factor of a trained low-rank term of the kernel.
    """

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
        super().__init__(in_channels, out_channels, bias=use_bias, dtype=getattr(torch, dtype))
        self.activation = activation
        self.lora: LowRank | None = None
        if lora is not None:
            rank, scale = lora
            self.lora = LowRank(
                Dense(in_channels, rank, use_bias=False, dtype=dtype),
                Dense(rank, out_channels, use_bias=False, dtype=dtype),
                scale=scale,
                dtype=dtype,
            )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply by the weight (out, in), add the bias (out,), activate."""
        return ACTIVATIONS[self.activation](self._project(inputs))

    def _project(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs before the activation, with the low-rank term if there is one."""
        outputs = F.linear(inputs, self.weight, self.bias)
        return outputs if self.lora is None else outputs + self.lora(inputs)


class BatchNorm(Declared):
    """Batch normalisation over all axes but the channels; `momentum` is the share that is kept.

    The running variance divides by n - 1, or by n without `corrects_variance`.
    """

    # Not `nn.BatchNorm2d`: its `momentum` is the share that is taken, it refuses a single value per
    # channel, and its `train()` re-estimates statistics that are frozen (docs/fairness.md).

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
        # The name and the type that PyTorch's own batch norm has in its state_dict.
        self.num_batches_tracked: torch.Tensor
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))
        self.momentum, self.epsilon = momentum, epsilon
        self.corrects_variance = True

    def forward(self, inputs: torch.Tensor, training: bool | None = None) -> torch.Tensor:
        """Normalise (N, C, H, W) or (N, C) by the batch (training) or by running statistics.

        `training` None means the module's own mode, in which the batches of training are counted.
        """
        values = (inputs, self.weight, self.bias, self.running_mean, self.running_var)
        if training is None and self.training:
            # The engine, which says the mode, does not pay for a counter that nothing reads.
            self.num_batches_tracked.add_(1)
        if self.training if training is None else training:
            rates = {"momentum": self.momentum, "epsilon": self.epsilon}
            if step := current_step():
                return normalize_by_ranks(inputs, values[1:3], values[3:], step, **rates)
            if not self.corrects_variance:
                return self._normalize_uncorrected(inputs)
            return normalize_by_batch(*values, **rates)
        return normalize_by_moving(*values, epsilon=self.epsilon)

    def normalize(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Normalise by the batch; return outputs, mean (C,) and Bessel-corrected variance (C,)."""
        # PyTorch refuses a batch with one value per channel.
        if holds_one_value(inputs):
            return batch_norm(inputs, self.weight, self.bias, self.epsilon)
        outputs = F.batch_norm(
            inputs, None, None, self.weight, self.bias, training=True, eps=self.epsilon
        )
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        # `F.batch_norm` does not return the statistics. Here they have the type of the weights.
        variance, mean = torch.var_mean(inputs.to(self.running_mean.dtype), axes)
        return outputs, mean, variance

    def _normalize_uncorrected(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise by the batch; the variance (C,) that is collected divides by n, as Keras'."""
        outputs, mean, variance = batch_norm(inputs, self.weight, self.bias, self.epsilon)
        count = inputs.numel() // inputs.shape[1]
        update_moving(self.running_mean, mean, self.momentum)
        update_moving(self.running_var, variance * ((count - 1) / count), self.momentum)
        return outputs


class Activation(Declared):
    """An activation as a layer of its own: (N, …) -> (N, …)."""

    def __init__(self, activation: str, *, dtype: str = "float32") -> None:
        super().__init__()
        self.activation = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Apply the activation to every value of (N, …); softmax to the channels."""
        return ACTIVATIONS[self.activation](inputs)


class Flatten(Declared):
    """Flattening: (N, C, H, W) -> (N, C * H * W), pixels fastest, as PyTorch's own.

    `is_canonical` gives (N, H * W * C), channels fastest; `models.py` sets it where another layer
    than a dense one reads the vectors.
    """

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__()
        self.is_canonical = False

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Flatten maps (N, C, H, W) to vectors (N, C * H * W)."""
        return (inputs.permute(0, 2, 3, 1) if self.is_canonical else inputs).flatten(1)


class Dropout(Declared):
    """Inverted dropout; masks (N, …) bool are true where a value is kept.

    Without a mask, training draws one as PyTorch's own dropout does.
    """

    def __init__(self, rate: float, *, is_spatial: bool = False, dtype: str = "float32") -> None:
        super().__init__()
        self.rate, self.is_spatial = rate, is_spatial

    def forward(
        self,
        inputs: torch.Tensor,
        kept: torch.Tensor | None = None,
        training: bool | None = None,
    ) -> torch.Tensor:
        """Drop values of (N, …) and rescale the others in training; in evaluation do nothing.

        `training` None means the module's own mode.
        """
        is_random = self.training if training is None else training
        if not is_random or self.rate == 0:
            return inputs
        if kept is not None:
            return inputs * (kept.to(inputs.dtype) / (1 - self.rate))
        # A channel of a vector is a single value.
        drop = F.dropout2d if self.is_spatial and inputs.ndim == 4 else F.dropout
        return drop(inputs, self.rate)


KINDS: dict[str, type[Declared]] = {
    "activation": Activation,
    "batch_norm": BatchNorm,
    "dense": Dense,
    "dropout": Dropout,
    "flatten": Flatten,
}
