"""The base class of every group of settings, and the messages about wrong values."""

import json
import re
from collections.abc import Mapping
from typing import Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from poc.shared.errors import UsageError

from .open_settings import is_by_recipe
from .suggestions import closest, leading_key, suggest_key

# Pydantic's types of error for a value that is not a list, or a list of a wrong length.
LIST_PROBLEMS = ("tuple_type", "list_type", "too_short", "too_long")
# A choice in pydantic's list of them: `'sgd', 'adam' or 'adamw'`.
CHOICE = re.compile(r"'([^']*)'")


class Settings(BaseModel):
    """A frozen pydantic model that refuses unknown keys and never coerces silently."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, values: dict[str, object], where: str) -> Self:
        """Validate `values`; `where` names the group in the message.

        Raises:
            UsageError: A key is unknown or a value is wrong; the message is about the first one.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(explain(error, cls, where)) from None


def explain(error: ValidationError, settings: type[BaseModel], where: str) -> str:
    """Write the message for the first problem of a validation error."""
    problem = error.errors()[0]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, UsageError):
        return str(cause)
    location, kind = problem["loc"], problem["type"]
    context = dict(problem.get("ctx", {}))
    if kind == "missing" and isinstance(location[-1], int):
        # For a list that is too short, pydantic reports each missing number as an error.
        missing = [other for other in error.errors() if other["loc"][:-1] == location[:-1]]
        context["wanted_length"] = location[-1] + len(missing)
        location, kind = location[:-1], "too_short"
    key = ".".join(str(part) for part in location)
    name = f"{where}.{key}" if where and key else where or key
    if kind == "extra_forbidden":
        group = find_group(settings, location[:-1])
        return f"Got the unknown key {name!r}. " + suggest_key(
            name, group.model_fields if group else ()
        )
    if kind == "model_type":
        return explain_group(name, problem["input"], find_group(settings, location))
    field, value = find_field(settings, location), problem["input"]
    # An entry of a list is not a key of its own: the advice is about the list.
    setting = ".".join(part for part in name.split(".") if not part.isdigit())
    allowed, advice = describe_allowed(problem["msg"]), advise(field, setting, value, context)
    if kind in LIST_PROBLEMS:
        allowed = f"Expected a list in brackets{describe_length(field, value, context)}"
        if (example := find_list(field, value)) is not None:
            advice = f"{setting}={write(example)}"
    meaning = f" ({field.description})" if field and field.description else ""
    return f"Got {name}={shorten(value)}. {allowed}{meaning}. Try {advice}."


def explain_group(name: str, value: object, group: type[BaseModel] | None) -> str:
    """Write the message for a plain value in place of a group of settings."""
    keys = group.model_fields if group else {}
    key = leading_key(keys)
    advice = (
        f"{name}.{key}={value}"
        if key and isinstance(value, str)
        else f"setting one of its keys, {', '.join(sorted(keys))}"
    )
    return (
        f"Got {name}={shorten(value)}, but {name} is a group of settings. Expected a value for "
        f"one of its keys. Try {advice}."
    )


def find_list(field: FieldInfo | None, value: object) -> list[object] | None:
    """Return a list that a field takes: its example or its default; none if it has neither.

    If the user gave one number in place of several, the list repeats that number: it is what the
    user probably wants to type.
    """
    known = [*(field.examples or ()), find_default(field)] if field else []
    example = next((found for found in known if isinstance(found, list | tuple) and found), None)
    if example is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] * len(example) if is_number else list(example)


def describe_length(field: FieldInfo | None, value: object, context: Mapping[str, object]) -> str:
    """Describe a wrong length: ` of 3 entries (got 2)`; empty if the value is not a list.

    Args:
        field: The field; its example or default has the length that is wanted.
        value: The received value.
        context: Pydantic's context of the error, with the lengths that it allows.
    """
    if not isinstance(value, list | tuple):
        return ""
    example = find_list(field, value)
    least, most = context.get("min_length"), context.get("max_length")
    wanted = context.get("wanted_length")
    if wanted is None and most is not None and example is not None and len(example) == most:
        wanted = most
    bound = f"at least {least}" if least is not None else f"at most {most}"
    number = wanted if wanted is not None else least if least is not None else most
    if number is None:
        return ""
    entries = "entry" if number == 1 else "entries"
    return f" of {wanted if wanted is not None else bound} {entries} (got {len(value)})"


def describe_allowed(message: str) -> str:
    """Turn pydantic's message into a sentence that starts with `Expected`, without its stop."""
    message = message.removeprefix("Value error, ")
    if message.startswith("Input should be "):
        what = message.removeprefix("Input should be ")
        return f"Expected {'a value ' if what.startswith(('greater', 'less')) else ''}{what}"
    return f"Expected another form, since {lower_first(message)}"


def advise(field: FieldInfo | None, name: str, value: object, context: Mapping[str, object]) -> str:
    """Write what to type in place of a wrong value.

    Args:
        field: The field, or none.
        name: Its full name.
        value: The received value.
        context: Pydantic's context of the error, with the choices or the bounds.
    """
    choices = CHOICE.findall(str(context.get("expected", "")))
    if near := closest(value, choices):
        return f"{name}={near}"
    if field is not None and is_by_recipe(field):
        return f"removing {name}, which leaves it to the recipe"
    default = find_default(field) if field else None
    if isinstance(default, str | int | float | tuple):
        return f"{name}={write(default)}, the default"
    examples = [*((field.examples if field else None) or ()), *choices]
    # The other two bounds, gt and lt, are not allowed themselves.
    examples += [context[bound] for bound in ("ge", "le") if bound in context]
    return f"{name}={write(examples[0])}" if examples else "an example of `poc config keys`"


def find_default(field: FieldInfo) -> object:
    """Return the default of a field; none if it has none."""
    return field.get_default(call_default_factory=True)


def find_field(settings: type[BaseModel], location: tuple[int | str, ...]) -> FieldInfo | None:
    """Return the field at a path of a group of settings, or none."""
    names = [part for part in location if isinstance(part, str)]
    group = find_group(settings, tuple(names[:-1]))
    return group.model_fields.get(names[-1]) if group and names else None


def find_group(
    settings: type[BaseModel], location: tuple[int | str, ...]
) -> type[BaseModel] | None:
    """Return the group of settings at a path of another group, or none."""
    group: type[BaseModel] | None = settings
    is_name = False
    for part in location:
        # The part after a mapping of groups is a name of the user's: `factors.NAME.rank`.
        if is_name:
            is_name = False
            continue
        field = group.model_fields.get(str(part)) if group else None
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        found = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        group = found[0] if found else None
        is_name = field is not None and get_origin(field.annotation) is Mapping
    return group


def write(value: object) -> str:
    """Write a value as a user types it after `=`: text without quotes, a list in brackets."""
    return value if isinstance(value, str) else json.dumps(value)


def shorten(value: object, length: int = 120) -> str:
    """Write a value as Python does, cut after `length` characters."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= length else f"{text[: length - 1]}…"


def lower_first(text: str) -> str:
    """Return the text with a small first letter."""
    return text[:1].lower() + text[1:]
