"""Checks of the values that a card writes: a run folder may have been edited or damaged."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poc.shared.engine.numerics.metrics import SHARES
from poc.shared.engine.summary.answer_columns import AREA
from poc.shared.errors import UsageError

# Columns of `summary.json` that a card writes with digits.
FIGURES = ("test_loss", f"test_{AREA}", *(f"test_{name}" for name in SHARES))


class Leaks(BaseModel):
    """The part about images in two parts."""

    model_config = ConfigDict(strict=True)
    num_contents: int = 0
    num_groups: int = 0


class Data(BaseModel):
    """The part of `run.json` about the data."""

    model_config = ConfigDict(strict=True)
    counts: dict[str, int] = {}
    num_skipped: int | None = None
    leaks: Leaks = Field(default_factory=Leaks)
    notes: list[str] = []


class Environment(BaseModel):
    """The part of `run.json` about the machine."""

    model_config = ConfigDict(strict=True)
    gpus: list[object] | None = None
    intra_op_threads: int | None = None


class Resume(BaseModel):
    """The part of `run.json` about one time that the run went on."""

    model_config = ConfigDict(strict=True)
    environment: Environment = Field(default_factory=Environment)


class Content(BaseModel):
    """The values of `run.json` that a card writes."""

    model_config = ConfigDict(strict=True)
    data: Data = Field(default_factory=Data)
    environment: Environment = Field(default_factory=Environment)
    resumes: list[Resume] = []


def check_record(folder: Path, content: Mapping[str, object]) -> None:
    """Refuse a `run.json` with values of another type.

    Raises:
        UsageError: See above; the message names the first one.
    """
    try:
        Content.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"Got the run {str(folder)!r}, whose run.json has {key}={first['input']!r}. Expected a "
            "value of the type that poc writes. Try restoring the file."
        ) from None


def find_odd_figure(row: Mapping[str, object]) -> str:
    """Return what is wrong with the figures of `summary.json`; empty if nothing is."""
    for name in FIGURES:
        value = row.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"Got summary.json with {name}={value!r}. Expected a number"
    return ""
