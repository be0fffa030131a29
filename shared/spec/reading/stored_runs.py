"""Runs that an older version stored, read as what they meant."""

from collections.abc import Mapping

from poc.shared.spec.networks.models import MODELS


def read_as_meant(record: Mapping[str, object]) -> dict[str, object]:
    """`run.json` with the options that came later named as what their absence meant."""
    run = record.get("run")
    if not isinstance(run, Mapping):
        return dict(record)
    if "num_epochs" in run:
        # Before there was a recipe, nothing was left open.
        run = {"open_settings": [], **run}
    if "source" in run:
        # The former name of the teacher.
        run = rename_keys(run)
    changed: dict[str, object] = {"model": model_as_meant(run.get("model"))}
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
    """Settings under today's names."""
    return {rename(key): value for key, value in settings.items()}


def rename(key: str) -> str:
    """A key, or one below it, under today's name."""
    first, dot, rest = key.partition(".")
    return f"teacher{dot}{rest}" if first == "source" else key


def model_as_meant(model: object) -> object:
    """A stored model, likewise; what is no model stays as it is."""
    if not isinstance(model, Mapping):
        return model
    row = MODELS.get(str(model.get("name")))
    if row is None or not isinstance(options := model.get("options", {}), Mapping):
        return model
    return {**model, "options": {**row.former, **options}}
