"""The exponential moving average of a model's weights and running statistics, in PyTorch."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from numpy.typing import NDArray

from poc.shared.engine.step_numbers import AVERAGE_PREFIX
from poc.shared.spec.networks.initializers import Weights
from poc.torch_impl.models import Model
from poc.torch_impl.weights import from_canonical, named_variables, to_canonical


class AveragedWeights:
    """Averages of the weights of a model, which start from these weights.

    Args:
        model: The model, with its initial weights.
        moving: Names of all variables that training may change; the others are their own average.
    """

    def __init__(self, model: Model, moving: Collection[str]) -> None:
        self.model = model
        variables = named_variables(model)
        self.names = [name for name in variables if name in moving]
        # Detached, so that the averages are no part of a graph; the memory is the variables' own.
        self.variables = [variables[name].detach() for name in self.names]
        self.averages = [variable.clone() for variable in self.variables]

    def move(self, share: torch.Tensor | float) -> None:
        """Take a share () of the present weights into the average."""
        torch._foreach_lerp_(self.averages, self.variables, share)

    def weights(self) -> Weights:
        """Return the averages as canonical `Weights`."""
        return {
            name: to_canonical(self.model, name, average)
            for name, average in zip(self.names, self.averages, strict=True)
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the averages (…) by `average/NAME`, in canonical layout."""
        return {AVERAGE_PREFIX + name: value for name, value in self.weights().items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore the averages (…) that `state` returned."""
        for name, average in zip(self.names, self.averages, strict=True):
            value = from_canonical(self.model, name, state[AVERAGE_PREFIX + name])
            average.copy_(torch.from_numpy(value))
