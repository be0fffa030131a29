"""Runs that an older version stored, translated into today's settings."""

from collections.abc import Mapping

from poc.shared.spec.networks.architectures.table import MODELS


def read_as_meant(record: Mapping[str, object]) -> dict[str, object]:
    """Return the content of `run.json` with the values that newer options had when it was written.

    A run from before an option existed behaved as with one of its values, which need not be today's
    default.
    """
    run = record.get("run")
    if not isinstance(run, Mapping):
        return dict(record)
    if "num_epochs" in run:
        # A run from before the recipe existed has no open settings.
        run = {"open_settings": [], **run}
    if "source" in run:
        # The teacher was called source in older runs.
        run = rename_keys(run)
    changed: dict[str, object] = {
        "model": model_as_meant(run.get("model")),
        "method_options": options_as_meant(run.get("method"), run.get("method_options")),
    }
    if isinstance(teacher := run.get("teacher"), Mapping):
        changed["teacher"] = {**teacher, "model": model_as_meant(teacher.get("model"))}
    meant = {**record, "run": {**run, **{key: changed[key] for key in changed if key in run}}}
    if isinstance(settings := record.get("settings"), Mapping):
        meant["settings"] = rename_keys(settings)
    sweep = record.get("sweep")
    if isinstance(sweep, Mapping) and isinstance(settings := sweep.get("settings"), Mapping):
        meant["sweep"] = {**sweep, "settings": rename_keys(settings)}
    return meant


def rename_keys(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the settings under today's names."""
    return {rename(key): value for key, value in settings.items()}


def rename(key: str) -> str:
    """Return today's name of a key: `source` and the keys below it are now `teacher`."""
    first, dot, rest = key.partition(".")
    return f"teacher{dot}{rest}" if first == "source" else key


def options_as_meant(method: object, options: object) -> object:
    """Return a method's stored options without one that did nothing and is refused today."""
    if method != "fitnets" or not isinstance(options, Mapping) or options.get("stages") != "one":
        return options
    return {key: value for key, value in options.items() if key != "hint_epochs"}


def model_as_meant(model: object) -> object:
    """Return a stored model with the values that newer options had; other values unchanged."""
    if not isinstance(model, Mapping):
        return model
    row = MODELS.get(str(model.get("name")))
    if row is None or not isinstance(options := model.get("options", {}), Mapping):
        return model
    return {**model, "options": {**row.former, **options}}
