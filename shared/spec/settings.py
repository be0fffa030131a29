"""The base class of every group of settings, and the messages about wrong values."""

from collections.abc import Mapping, Sequence
from typing import Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from poc.shared.errors import UsageError

from .open_settings import is_by_recipe
from .suggestions import VALUE_HABITS, leading_key, suggest_key

# Pydantic's types of error for a value that is not a list, or a list of a wrong length.
LIST_PROBLEMS = ("tuple_type", "list_type", "too_short", "too_long")


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
    allowed = describe_allowed(problem["msg"])
    if kind in LIST_PROBLEMS:
        allowed = f"Expected {describe_list(settings, location, problem['input'], context)}"
    received = f"Got {name}={shorten(problem['input'])}. {allowed}"
    if kind == "literal_error" and (meant := VALUE_HABITS.get(str(problem["input"]).lower())):
        return f"{received}. Try {location[-1]}={meant}."
    return received + describe_field(settings, location)


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


def describe_list(
    settings: type[BaseModel],
    location: tuple[int | str, ...],
    value: object,
    context: Mapping[str, object],
) -> str:
    """Describe a list: `a list in brackets, such as [64, 64]`.

    The example is the field's own, or its default. If the user gave one number in place of several,
    the example repeats that number: it is what the user probably wants to type.

    Args:
        settings: The group of settings.
        location: Path of the field in the group.
        value: The received value.
        context: Pydantic's context of the error, with the lengths that it allows.
    """
    field = find_field(settings, location)
    default = field.get_default(call_default_factory=True) if field else None
    known = [*(field.examples or ()), default] if field else []
    example = next((found for found in known if isinstance(found, list | tuple) and found), None)
    length = describe_length(value, context, example)
    if example is None:
        return f"a list in brackets{length}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    shown = [value] * len(example) if is_number else list(example)
    return f"a list in brackets{length}, such as {location[-1]}={shorten(shown)}"


def describe_length(
    value: object, context: Mapping[str, object], example: Sequence[object] | None
) -> str:
    """Describe a wrong length: ` of 3 entries (got 2)`; empty if the value is not a list."""
    if not isinstance(value, list | tuple):
        return ""
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


def describe_field(settings: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Write the end of a message: the field's meaning, and what to do."""
    field = find_field(settings, location)
    if field is None:
        return ". Try another value."
    meaning = f" ({field.description})" if field.description else ""
    default = field.get_default(call_default_factory=True)
    is_plain = default is not None and isinstance(default, str | int | float | tuple)
    stand_in = "the recipe's" if is_by_recipe(field) else shorten(default)
    advice = f"another value, or leave it out for {stand_in}" if is_plain else "another value"
    return f"{meaning}. Try {advice}."


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


def shorten(value: object, length: int = 120) -> str:
    """Write a value as Python does, cut after `length` characters."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= length else f"{text[: length - 1]}…"


def lower_first(text: str) -> str:
    """Return the text with a small first letter."""
    return text[:1].lower() + text[1:]
