"""The base of every layer in PyTorch: it keeps the options of its declaration, and shows them."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn


class Declared(nn.Module):
    """A layer that prints the options of its declaration, and PyTorch's own words without one."""

    options: Mapping[str, object] = MappingProxyType({})

    def extra_repr(self) -> str:
        """Return every option as `name=value`, in the order of the declaration."""
        if not self.options:
            return str(super().extra_repr())
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
