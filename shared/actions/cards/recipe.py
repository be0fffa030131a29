"""The recipe of a card: every setting of the training that decides its numbers, and its origin."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from poc.shared.analysis.runs.row_labels import PATHS, flatten
from poc.shared.analysis.tables.markdown import markdown_table
from poc.shared.analysis.tables.table import Table
from poc.shared.errors import UsageError
from poc.shared.spec.open_settings import OPEN_SETTINGS
from poc.shared.spec.run import RunSpec

from .paragraphs import paragraphs
from .subject import Subject

# Shown whatever their value is; other settings are shown if they differ from the default.
ALWAYS = (
    "num_epochs",
    "data.batch_size",
    "optimizer.name",
    "optimizer.learning_rate",
    "optimizer.weight_decay",
    "schedule.name",
    "schedule.warmup_steps",
    "loss.name",
    "seed",
    "precision",
    "data.normalization",
    "data.interpolation",
)
# These are in other sections of the card, or decide no number of it.
LEFT_OUT = (
    *("method", "model", "backend", "input_shape", "num_classes", "stage", "open_settings"),
    *("data.source", "data.columns", "data.split", "data.cache", "data.num_workers"),
)
DEFAULT, GIVEN, OPEN = "default", "set", "recipe, or set"


def write_recipe(subject: Subject) -> Iterator[str]:
    """Yield the lines of the section."""
    spec = subject.spec
    settings = described(spec)
    defaults = described(defaults_of(spec))
    rows = [
        [key, value, name_origin(key, value, defaults)]
        for key, value in settings.items()
        if key in ALWAYS or value != defaults.get(key)
    ]
    yield from markdown_table(
        Table(
            title="Recipe",
            columns=["setting", "value", "origin"],
            rows=rows,
            note="All other settings have their defaults; poc config keys lists them.",
            words=["setting", "value", "origin"],
        )
    )
    notes = subject.record.data.get("notes")
    texts = [str(text) for text in notes] if isinstance(notes, list) else []
    if texts:
        yield from paragraphs(["The run said about its data and its recipe:"])
        yield from paragraphs(map(subject.hide_paths, texts))


def described(spec: RunSpec) -> dict[str, str]:
    """Return dotted key -> value as text, of the settings that the section is about."""
    flat = flatten(spec.model_dump(mode="json"))
    return {
        key: Path(value).name if key in PATHS else value.strip("[]")
        for key, value in flat.items()
        if not any(key == left or key.startswith(f"{left}.") for left in LEFT_OUT)
    }


def defaults_of(spec: RunSpec) -> RunSpec:
    """Return a run of the same method that sets nothing else.

    A method that cannot be run so gives the defaults of the plain training.
    """
    try:
        return RunSpec.parse({"method": spec.method, "model": {"name": spec.model_spec.name}}, "")
    except UsageError:
        return RunSpec.parse({"method": "scratch"}, "")


def name_origin(key: str, value: str, defaults: Mapping[str, str]) -> str:
    """Return where a value is from, as far as the record has it."""
    if any(key == each or key.startswith(f"{each}.") for each in OPEN_SETTINGS):
        # The record has the filled-in number; the run's sentence says whether it was set.
        return OPEN
    return DEFAULT if value == defaults.get(key) else GIVEN
