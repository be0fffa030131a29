"""A run as its user writes it: a TOML file, `key=value` assignments, named fields."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from poc.shared.errors import UsageError

from .data import DataSpec, SplitSpec
from .methods import find_method
from .models import ModelSpec, find_model
from .run import EarlyStoppingSpec, OptimizerSpec, RunSpec
from .schedules import ScheduleSpec


def load_run(
    path: Path | str | None = None, assignments: Iterable[str] = (), **fields: Any
) -> RunSpec:
    """Read a run from a TOML file, `key=value` assignments and named fields, later ones winning.

    Args:
        path: TOML file, or none for the defaults.
        assignments: As given to `--set`: dotted keys of the run spec, or a bare option name of the
            model or the method (`k=3`).
        **fields: Top-level fields that are not none.

    Raises:
        UsageError: Unreadable file, unknown key or wrong value.
    """
    values = read_toml(Path(path)) if path else {}
    if "grid" in values:
        raise UsageError(
            f"received the config {str(path)!r}, which holds a grid; allowed is one run: use "
            "`poc sweep --config`"
        )
    values.update({key: value for key, value in fields.items() if value is not None})
    for assignment in assignments:
        assign(values, assignment)
    return RunSpec.parse(values, "")


def read_toml(path: Path) -> dict[str, Any]:
    """The file as nested dictionaries.

    Raises:
        UsageError: Missing, unreadable or malformed file.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("no regular file")
        # Windows editors put a byte order mark first.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(
            f"received the config {str(path)!r}, which does not exist; name a TOML file"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"received the config {str(path)!r}, which is no TOML ({error}); correct it"
        ) from None


def assign(values: dict[str, Any], assignment: str) -> None:
    """Apply one `key=value` to nested dictionaries, in place."""
    key, separator, text = assignment.partition("=")
    if not separator or not key.strip():
        raise UsageError(f"received --set {assignment!r}; allowed is key=value, such as k=3")
    set_value(values, key.strip(), parse_value(text.strip()))


def set_value(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a key (as `--set` knows keys) of nested dictionaries, in place."""
    *parents, last = full_key(key, values)
    target = values
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise UsageError(
                f"received --set {key}={value}, but {parent!r} is no group of settings; name a "
                "setting of a group"
            )
    target[last] = value


def full_key(key: str, values: Mapping[str, Any]) -> list[str]:
    """Path of a key in the run spec; a bare name may be an option of the model or the method."""
    parts = key.split(".")
    if parts == ["model"]:
        return ["model", "name"]
    if parts[0] == "model" and len(parts) == 2 and parts[1] not in ModelSpec.model_fields:
        return ["model", "options", parts[1]]
    if parts[:2] == ["source", "model"] and len(parts) < 4:
        known = len(parts) == 3 and parts[2] in ModelSpec.model_fields
        option = ["options", *parts[2:]] if len(parts) == 3 else ["name"]
        return parts if known else [*parts[:2], *option]
    if parts[0] in ("split", "train_view", "eval_view"):
        return ["data", *parts]
    if len(parts) > 1 or key in RunSpec.model_fields:
        return parts
    method = find_method(values.get("method", RunSpec.model_fields["method"].default))
    model = values.get("model") or {}
    owners = {
        ("model", "options"): find_model(
            model.get("name", method.default_model)
        ).options.model_fields,
        ("model",): {
            name: field
            for name, field in ModelSpec.model_fields.items()
            if name not in ("name", "options")
        },
        ("method_options",): method.options.model_fields,
        ("optimizer",): OptimizerSpec.model_fields,
        ("data",): DataSpec.model_fields,
        ("data", "split"): SplitSpec.model_fields,
        ("schedule",): ScheduleSpec.model_fields,
        ("early_stopping",): EarlyStoppingSpec.model_fields,
    }
    for owner, fields in owners.items():
        if key in fields:
            return [*owner, key]
    allowed = sorted(
        {*RunSpec.model_fields, *(name for fields in owners.values() for name in fields)}
    )
    raise UsageError(
        f"received the unknown key {key!r}; allowed are {', '.join(allowed)}: correct it"
    )


def parse_value(text: str) -> Any:
    """A value as TOML writes it; anything that TOML refuses is a plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
