"""A declared network as a pure function of its parameters and running statistics."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn
from torch.func import functional_call

from poc.torch_impl.layers.derivatives import efficient_second_order
from poc.torch_impl.models import Model
from poc.torch_impl.weights import named_variables


class Pass(NamedTuple):
    """Results of a forward pass: outputs (N, …) by node, and running statistics (C,) after it."""

    values: Mapping[str, torch.Tensor]
    statistics: Mapping[str, torch.Tensor]


class PureForward:
    """Training-mode forward passes of a model with given values; the model itself is not changed.

    Args:
        model: Any declared network.
        is_efficient: Take the second derivatives of convolution and batch norm from `derivatives`
            and `batch_norm`, not from the framework.
    """

    def __init__(self, model: Model, *, is_efficient: bool = True) -> None:
        self.model, self.is_efficient = model, is_efficient
        self._module = _Values(model)
        own = {id(variable): name for name, variable in named_variables(model).items()}
        tensors = [*self._module.named_parameters(), *self._module.named_buffers()]
        # Counters of batches have no canonical name.
        self._names = {own[id(tensor)]: name for name, tensor in tensors if id(tensor) in own}

    def __call__(
        self,
        parameters: Mapping[str, torch.Tensor],
        statistics: Mapping[str, torch.Tensor],
        images: torch.Tensor,
        noise: Mapping[str, torch.Tensor],
        wanted: Sequence[str],
        *,
        linear_only: bool = False,
    ) -> Pass:
        """Run one forward pass.

        Args:
            parameters: Canonical name -> value of every trainable parameter; others are ignored.
            statistics: Canonical name -> running statistic (C,).
            images: A batch (N, C, H, W).
            noise: Masks (N, …) of the random layers.
            wanted: Nodes whose outputs are returned.
            linear_only: See `batch_norm.batch_norm`.
        """
        # Copies: batch norm updates them in place.
        after = {name: value.detach().clone() for name, value in statistics.items()}
        given = {self._names[n]: v for n, v in {**parameters, **after}.items() if n in self._names}
        mode = efficient_second_order(linear_only=linear_only) if self.is_efficient else None
        with mode or nullcontext():
            values = functional_call(self._module, given, (images, list(wanted), noise))
        return Pass(values, after)


class _Values(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, images: torch.Tensor, wanted: Sequence[str], noise: Mapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        return self.model.values(images, wanted, noise, training=True)
