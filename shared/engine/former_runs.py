"""Runs that an older version stored: read as they were, and never taken for something else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poc.shared.errors import UsageError
from poc.shared.spec.models import MODELS, ModelSpec

from .files import read_object


def read_as_meant(record: Mapping[str, Any]) -> dict[str, Any]:
    """`run.json` with the options that came later named as what their absence meant."""
    run = record.get("run")
    if not isinstance(run, Mapping):
        return dict(record)
    changed = {"model": model_as_meant(run.get("model"))}
    if isinstance(source := run.get("source"), Mapping):
        changed["source"] = {**source, "model": model_as_meant(source.get("model"))}
    return {**record, "run": {**run, **{key: changed[key] for key in changed if key in run}}}


def model_as_meant(model: Any) -> Any:
    """A stored model, likewise; what is no model stays as it is."""
    row = MODELS.get(str(model.get("name"))) if isinstance(model, Mapping) else None
    if row is None or not isinstance(options := model.get("options", {}), Mapping):
        return model
    return {**model, "options": {**row.former, **options}}


def check_origin(path: str, model: ModelSpec) -> None:
    """Refuse a run's weights for a network that differs in what their shapes do not show.

    A weight file names no network; the run folder that it lies in does.

    Raises:
        UsageError: An option that came later differs.
    """
    stored = model_of_run(Path(path).resolve().parent.parent)
    if stored.get("name") != model.name:
        return
    for key in MODELS[model.name].former:
        was, wanted = stored["options"].get(key), model.options.get(key)
        if was != wanted:
            raise UsageError(
                f"received {path!r}, written by a run whose {model.name} has {key}={was!r}, for "
                f"{key}={wanted!r}; every tensor would fit, but into another network: set "
                f"model.{key} to {str(was).lower()}, or train that run again"
            )


def model_of_run(folder: Path) -> dict[str, Any]:
    """The model that a run folder names; empty where it is none, or says nothing readable."""
    try:
        model = read_as_meant(read_object(folder / "run.json"))["run"]["model"]
    except (UsageError, KeyError, TypeError):
        return {}
    is_whole = isinstance(model, dict) and isinstance(model.get("options"), dict)
    return model if is_whole else {}
