"""The list of all keys of a run, for `poc config keys`."""

import itertools
from collections.abc import Iterator
from typing import TypedDict

from pydantic import BaseModel

from poc.shared.spec.methods.table import METHODS, find_method
from poc.shared.spec.networks.architectures.table import Model
from poc.shared.spec.networks.factors import full_rank, is_factorable, kernel_shape
from poc.shared.spec.networks.models import find_model
from poc.shared.spec.open_settings import is_by_recipe
from poc.shared.spec.run import RunSpec
from poc.shared.spec.settings import find_group

from .allowed_values import describe_values, find_example
from .recipe import leave_open

# Not listed: the program fills in the first row, and the options have keys of their own.
OWN = (
    *("stage", "open_settings", "habits.framework"),
    *("method_options", "model.options", "model.stored_images"),
)
# Keys whose values the spec checks against a table, which pydantic's schema does not know.
NAMES = {
    "method": f"one of {', '.join(METHODS)}",
    "model.name": "a name of `poc models list`",
    "teacher.model": "a name of `poc models list`",
}


class KeyRow(TypedDict):
    """A setting: its dotted key, its default if that is a plain value, its meaning."""

    key: str
    default: object
    description: str
    allowed: str
    example: object
    by_recipe: bool


def list_keys(method: str, model: str | None = None) -> Iterator[KeyRow]:
    """Yield every setting, with the options of a method and a model.

    `allowed` says in words which values the key takes; `example` is one of them, or none.

    If `by_recipe` is true, `default` only holds for runs that are made in Python; in a run that a
    command reads, the recipe chooses the value from the training images.

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
    own["model.name"] = model or row.default_model
    if row.fits_head:
        own["num_epochs"] = 1
    architecture = find_model(model or row.default_model)
    rows = itertools.chain(
        walk(RunSpec, ""),
        walk(row.options, "method_options."),
        walk(architecture.options, "model."),
    )
    for setting in rows:
        key = setting["key"]
        if key == "model.factors":
            setting["example"] = example_factors(architecture)
        is_open = setting["by_recipe"] and key.startswith(left)
        yield {**setting, "default": own.get(key, setting["default"]), "by_recipe": is_open}


def walk(group: type[BaseModel], prefix: str) -> Iterator[KeyRow]:
    """Yield the keys of a group and of the groups in it."""
    schemas = group.model_json_schema()["properties"]
    for name, field in group.model_fields.items():
        key = f"{prefix}{name}"
        if key in OWN:
            continue
        inner = find_group(group, (name,))
        # A teacher's model is one key, its name: what `--set teacher.model=NAME` takes.
        is_name = name == "model" and bool(prefix)
        if inner is not None and not is_name and not is_list_of_groups(field.annotation):
            yield from walk(inner, f"{key}.")
            continue
        default = field.get_default(call_default_factory=True)
        plain = default if isinstance(default, bool | int | float | str | tuple) else None
        yield {
            "key": key,
            "default": plain,
            "description": field.description or "",
            "allowed": NAMES.get(key) or describe_values(schemas[name]),
            "example": find_example(key, schemas[name]),
            "by_recipe": is_by_recipe(field),
        }


def example_factors(model: Model) -> dict[str, object]:
    """Return factors for the first of a model's convolutions that has rank 3; none if none has."""
    network = model.declare(model.options(), model.example_input, 2)
    names = (
        node.name
        for node in network.nodes
        if is_factorable(node) and full_rank(kernel_shape(node), "spatial") >= 3
    )
    return {name: {"variant": "spatial", "rank": 3} for name in itertools.islice(names, 1)}


def is_list_of_groups(annotation: object) -> bool:
    """Return whether a field holds several groups, each under a name of its own."""
    return getattr(annotation, "__origin__", None) is not None and "Mapping" in str(annotation)


def known_keys() -> set[str]:
    """Return the last part of each key of a run: `kind` for `split.kind`."""
    return {row["key"].rpartition(".")[2] for row in list_keys("lightlayers")}
