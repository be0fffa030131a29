"""Gradients of several batches, added up until they make one update, in PyTorch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from poc.shared.engine.step_numbers import GRADIENT_PREFIX
from poc.torch_impl.models import Model
from poc.torch_impl.weights import from_canonical, to_canonical


class GroupGradients:
    """The sum of the gradients since the last update: the variables' own `.grad`.

    Args:
        model: The model that is trained.
        names: Names of its trained variables.
        variables: These variables, in the same order.
    """

    def __init__(
        self, model: Model, names: Sequence[str], variables: Sequence[torch.Tensor]
    ) -> None:
        self.model, self.names, self.variables = model, names, variables

    def add(self, gradients: Sequence[torch.Tensor]) -> None:
        """Add the gradients (…) of a batch: done, since `backward` adds to `.grad`."""

    def total(self) -> list[torch.Tensor]:
        """Return the sums (…), one per variable."""
        return [variable.grad for variable in self.variables if variable.grad is not None]

    def clear(self) -> None:
        """Start the next group."""
        for variable in self.variables:
            variable.grad = None

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the sums (…) by `gradient/NAME`, in canonical layout."""
        found = {}
        for name, variable in zip(self.names, self.variables, strict=True):
            total = torch.zeros_like(variable) if variable.grad is None else variable.grad
            found[GRADIENT_PREFIX + name] = to_canonical(self.model, name, total)
        return found

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the sums (…) that `state` returned."""
        for name, variable in zip(self.names, self.variables, strict=True):
            value = from_canonical(self.model, name, state[GRADIENT_PREFIX + name])
            # In the memory layout of the parameter, on which the fused optimisers rely.
            total = torch.empty_like(variable, requires_grad=False)
            variable.grad = total.copy_(torch.from_numpy(value))
