"""Every key of a run, as `poc config keys` lists them."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from .methods import find_method
from .models import find_model
from .run import RunSpec
from .settings import find_group

# Filled in by the program.
OWN = ("stage", "method_options", "model.options")


def list_keys(method: str, model: str | None = None) -> Iterator[dict[str, Any]]:
    """Key, default and meaning of every setting; the options of a method and a model with them.

    Raises:
        UsageError: No such method or model.
    """
    row = find_method(method)
    yield from walk(RunSpec, "")
    yield from walk(row.options, "method_options.")
    yield from walk(find_model(model or row.default_model).options, "model.")


def walk(group: type[BaseModel], prefix: str) -> Iterator[dict[str, Any]]:
    """The keys of a group and of the groups in it."""
    for name, field in group.model_fields.items():
        key = f"{prefix}{name}"
        if key in OWN or (name == "model" and prefix):
            continue
        inner = find_group(group, (name,))
        if inner is not None and not is_list_of_groups(field.annotation):
            yield from walk(inner, f"{key}.")
            continue
        default = field.get_default(call_default_factory=True)
        plain = default if isinstance(default, bool | int | float | str | tuple) else None
        yield {"key": key, "default": plain, "description": field.description or ""}


def is_list_of_groups(annotation: Any) -> bool:
    """Whether a field holds several groups under names of their own."""
    return getattr(annotation, "__origin__", None) is not None and "Mapping" in str(annotation)
