"""Every key of a run, as `poc config keys` lists them."""

import itertools
from collections.abc import Iterator
from typing import TypedDict

from pydantic import BaseModel

from poc.shared.spec.methods.table import find_method
from poc.shared.spec.networks.models import find_model
from poc.shared.spec.open_settings import is_by_recipe
from poc.shared.spec.run import RunSpec
from poc.shared.spec.settings import find_group

from .recipe import leave_open

# Filled in by the program.
OWN = ("stage", "open_settings", "method_options", "model.options")


class KeyRow(TypedDict):
    """A setting: its dotted key, its default where that is a plain value, its meaning."""

    key: str
    default: object
    description: str
    by_recipe: bool


def list_keys(method: str, model: str | None = None) -> Iterator[KeyRow]:
    """Key, default and meaning of every setting; the options of a method and a model with them.

    A key that is `by_recipe` has its default of a run that is written without a command; in one
    that a command reads, the training images decide.

    Raises:
        UsageError: No such method or model.
    """
    row = find_method(method)
    written: dict[str, object] = {"method": method}
    leave_open(written)
    left = (
        tuple(map(str, open_keys))
        if isinstance(open_keys := written["open_settings"], list)
        else ()
    )
    own = {
        f"{group}.{key}": value
        for group, values in row.defaults.items()
        for key, value in values.items()
    }
    rows = itertools.chain(
        walk(RunSpec, ""),
        walk(row.options, "method_options."),
        walk(find_model(model or row.default_model).options, "model."),
    )
    for setting in rows:
        key = setting["key"]
        is_open = setting["by_recipe"] and key.startswith(left)
        yield {**setting, "default": own.get(key, setting["default"]), "by_recipe": is_open}


def walk(group: type[BaseModel], prefix: str) -> Iterator[KeyRow]:
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
        yield {
            "key": key,
            "default": plain,
            "description": field.description or "",
            "by_recipe": is_by_recipe(field),
        }


def is_list_of_groups(annotation: object) -> bool:
    """Whether a field holds several groups under names of their own."""
    return getattr(annotation, "__origin__", None) is not None and "Mapping" in str(annotation)
