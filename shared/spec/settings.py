"""The base of every group of settings: frozen, closed, and with messages that teach."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from poc.shared.errors import UsageError


class Settings(BaseModel):
    """Frozen pydantic model that refuses unknown keys and never coerces silently."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, values: dict[str, Any], where: str) -> Self:
        """Validate `values`; `where` names the group in the message.

        Raises:
            UsageError: One sentence with the first wrong key, what was received, what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(explain(error, cls, where)) from None


def explain(error: ValidationError, settings: type[BaseModel], where: str) -> str:
    """One sentence for the first problem of a validation error."""
    problem = error.errors()[0]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, UsageError):
        return str(cause)
    key = ".".join(str(part) for part in problem["loc"])
    name = f"{where}.{key}" if where and key else where or key
    if problem["type"] == "extra_forbidden":
        allowed = ", ".join(sorted(settings.model_fields)) if len(problem["loc"]) == 1 else "others"
        return f"received the unknown key {name!r}; allowed are {allowed}: correct or remove it"
    message = problem["msg"].removeprefix("Value error, ")
    return f"received {name}={problem['input']!r}; {lower_first(message)}: correct the value"


def lower_first(text: str) -> str:
    """The text with a small first letter."""
    return text[:1].lower() + text[1:]
