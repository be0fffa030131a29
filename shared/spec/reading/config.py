"""A run in the form that users write: a TOML file, `key=value` assignments, named fields."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec, SplitSpec
from poc.shared.spec.methods.table import find_method, tell_default
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.run import RunSpec
from poc.shared.spec.suggestions import suggest_key
from poc.shared.spec.training.habits import spread
from poc.shared.spec.training.losses import LossSpec
from poc.shared.spec.training.optimizers import OptimizerSpec
from poc.shared.spec.training.schedules import ScheduleSpec
from poc.shared.spec.training.stopping import EarlyStoppingSpec

from .pretrained import NO_WEIGHTS, WeightDefaults
from .recipe import leave_open
from .shipped import find_config

WEIGHTS = "initial_weights"
# Tables of a config that describe several runs -> their name, and the command that reads them.
TABLES = {"grid": ("a grid", "poc sweep"), "sets": ("sets of settings", "poc habits")}
DEFAULT_METHOD: str = RunSpec.model_fields["method"].default


def load_run(
    path: Path | str | None = None,
    assignments: Iterable[str] = (),
    *,
    defaults: WeightDefaults | None = None,
    **fields: object,
) -> RunSpec:
    """Read a run from a TOML file, `key=value` assignments and named fields, later ones winning.

    Args:
        path: TOML file, or none for the defaults.
        assignments: Values of `--set`: dotted keys of the run spec, or a bare option name of the
            model or the method (`k=3`).
        defaults: Reader of weight files. With it, the initial weights fill in settings that the run
            leaves out, and the recipe may fill in the rest; none: neither happens.
        **fields: Top-level fields that are not none.

    Raises:
        UsageError: Unreadable file, unknown key or wrong value.
    """
    values = read_toml(path) if path else {}
    refuse_tables(values, path)
    values.update({key: value for key, value in fields.items() if value is not None})
    assign_all(values, assignments, defaults)
    if defaults is not None:
        leave_open(values)
        defaults.take_view(values)
    return RunSpec.parse(values, "")


def refuse_tables(values: Mapping[str, object], path: Path | str | None, taken: str = "") -> None:
    """Refuse a config that another command reads.

    Args:
        values: Content of the config.
        path: Its file.
        taken: The table that the calling command reads.

    Raises:
        UsageError: It has the table of another command, which the message names.
    """
    for table, (name, command) in TABLES.items():
        if table in values and table != taken:
            raise UsageError(
                f"Got the config {str(path)!r}, which holds {name}. Expected one without. Try "
                f"`{command} --config`."
            )


def read_config(path: Path | str) -> str:
    """Read the text of a TOML file or of a shipped config.

    Raises:
        UsageError: No such file and no such config, or it cannot be read.
    """
    file = find_config(path)
    try:
        if not file.is_file():
            raise OSError("not a regular file")
        # Editors on Windows put a byte order mark first.
        return file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Got the config {str(path)!r}, which cannot be read as text ({error}). Expected a "
            "TOML file. Try correcting it."
        ) from None


def read_toml(path: Path | str) -> dict[str, object]:
    """Read a TOML file, or a shipped config by its name, as nested dictionaries.

    Raises:
        UsageError: Missing, unreadable or malformed file.
    """
    text = read_config(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"Got the config {str(path)!r}, which is not TOML ({error}). Expected a TOML file. Try "
            "correcting it."
        ) from None


def assign_all(
    values: dict[str, object], assignments: Iterable[str], defaults: WeightDefaults | None = None
) -> None:
    """Apply several `key=value`, in place; weights first, since they may name the model.

    Raises:
        UsageError: One key has two different values.
    """
    ordered = list(assignments)
    given: dict[tuple[str, ...], str] = {}
    for assignment in filter(leads, ordered):
        assign_once(values, assignment, given)
    if defaults is not None:
        defaults.name_model(values)
    for assignment in ordered:
        if not leads(assignment):
            assign_once(values, assignment, given)


def assign_once(
    values: dict[str, object], assignment: str, given: dict[tuple[str, ...], str]
) -> None:
    """Apply one `key=value`, in place.

    Args:
        values: Settings of the run.
        assignment: One `key=value`.
        given: Path of each key that was assigned before -> its text; the new one is added.

    Raises:
        UsageError: The key was assigned another value before.
    """
    key, _, text = (part.strip() for part in assignment.partition("="))
    assign(values, assignment)
    former = given.setdefault(tuple(full_key(key, values)), text)
    # The texts are compared too, since nan equals nothing.
    if former != text and parse_value(former) != parse_value(text):
        raise UsageError(
            f"Got {key}={former} and {key}={text}. Expected one value. Try removing one."
        )


def leads(assignment: str) -> bool:
    """Return whether an assignment decides what others mean: the method, model or weights."""
    return assignment.partition("=")[0].strip() in ("method", "model", "model.name", WEIGHTS)


def assign(values: dict[str, object], assignment: str) -> None:
    """Apply one `key=value` to nested dictionaries, in place."""
    key, separator, text = assignment.partition("=")
    if not separator or not key.strip():
        raise UsageError(f"Got --set {assignment!r}. Expected key=value. Try --set k=3.")
    set_value(values, key.strip(), parse_value(text.strip()))


def set_value(values: dict[str, object], key: str, value: object) -> None:
    """Set a key of nested dictionaries, in place; `key` may be short, as in `--set`.

    Raises:
        UsageError: No such key, or a part of it that is not a group of settings.
    """
    *parents, last = full_key(key, values)
    target = values
    for parent in parents:
        group = target.setdefault(parent, {})
        if parent == "habits" and isinstance(group, str):
            # `habits=native` before `habits.dropout=common`: all but one.
            group = target[parent] = dict[str, object](spread(group))
        if not isinstance(group, dict):
            raise UsageError(
                f"Got --set {key}={value}, but {parent!r} is not a group of settings. Expected the "
                "key of a setting in a group. Try a key of `poc config keys`."
            )
        target = group
    target[last] = None if last == WEIGHTS and value == NO_WEIGHTS else value


def full_key(key: str, values: Mapping[str, Any]) -> list[str]:
    """Return the path of a key in the run spec; `k` alone may be an option of model or method.

    Raises:
        UsageError: No such key.
    """
    parts = key.split(".")
    if parts == ["model"]:
        return ["model", "name"]
    if parts[0] == "model" and len(parts) == 2 and parts[1] not in ModelSpec.model_fields:
        return ["model", "options", parts[1]]
    if parts[:2] == ["teacher", "model"] and len(parts) < 4:
        known = len(parts) == 3 and parts[2] in ModelSpec.model_fields
        option = ["options", *parts[2:]] if len(parts) == 3 else ["name"]
        return parts if known else [*parts[:2], *option]
    if parts[0] in ("split", "train_view", "eval_view"):
        return ["data", *parts]
    if len(parts) > 1 or key in RunSpec.model_fields:
        return parts
    method = find_method(values.get("method", DEFAULT_METHOD))
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
        ("loss",): LossSpec.model_fields,
        ("data",): DataSpec.model_fields,
        ("data", "split"): SplitSpec.model_fields,
        ("schedule",): ScheduleSpec.model_fields,
        ("early_stopping",): EarlyStoppingSpec.model_fields,
    }
    for owner, fields in owners.items():
        if key in fields:
            return [*owner, key]
    allowed = {*RunSpec.model_fields, *(name for fields in owners.values() for name in fields)}
    hint = ""
    if "name" not in model and any(key in row.options.model_fields for row in MODELS.values()):
        hint = tell_default(str(values.get("method", DEFAULT_METHOD)), method.default_model)
    raise UsageError(f"Got the unknown key {key!r}. {suggest_key(key, allowed)}{hint}")


def parse_value(text: str) -> object:
    """Read a value as TOML does; a text that TOML refuses is a plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
