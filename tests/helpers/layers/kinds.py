"""The declarations of layers, found in the modules that hold them."""

from importlib import import_module
from pkgutil import iter_modules

from poc.shared.spec.networks import layers


def declared_kinds() -> list[str]:
    """The kind of each declaration."""
    names = [f"{layers.__name__}.{module.name}" for module in iter_modules(layers.__path__)]
    return [
        kind
        for name in names
        for value in vars(import_module(name)).values()
        if isinstance(value, type) and value.__module__ == name
        if isinstance(kind := getattr(value, "kind", None), str)
    ]
