"""Runs that an older version stored: read as they were, and never taken for something else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poc.shared.errors import UsageError
from poc.shared.spec.layers import LightConv2D
from poc.shared.spec.models import MODELS, ModelSpec
from poc.shared.spec.run import RunSpec

from .files import read_object

# Written by this version into `run.json` and `sweep.json`; those of 1 began by some other rules.
RUN_FORMAT, SWEEP_FORMAT = "poc run 2", "poc sweep 2"
FORMER_FORMATS = ("poc run 1", "poc sweep 1")
# Of light layers in nets that do not ask.
KERNEL_L2 = LightConv2D.kernel_l2


def read_as_meant(record: Mapping[str, Any]) -> dict[str, Any]:
    """`run.json` with the options that came later named as what their absence meant."""
    run = record.get("run")
    if not isinstance(run, Mapping):
        return dict(record)
    if "num_epochs" in run:
        # Before there was a recipe, nothing was left open.
        run = {"open_settings": [], **run}
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


def check_continuation(run: RunSpec, name: str, stored_format: Any) -> None:
    """Refuse to end by today's rules what began by former ones.

    Args:
        run: What is to go on.
        name: Of the run or the sweep, as the message names it.
        stored_format: As its file says it.

    Raises:
        UsageError: A rule that this run follows has changed since.
    """
    rule = changed_rule(run) if stored_format in FORMER_FORMATS else None
    if rule:
        raise UsageError(
            f"received {name}, begun by a version before 2026-11-28, since which {rule}; its "
            "numbers would be of two kinds: start it again with a new --output"
        )


def changed_rule(run: RunSpec) -> str | None:
    """What this version does otherwise in a run than the one that wrote the first format."""
    options = run.model_spec.resolved()
    is_light = str(getattr(options, "layer", "")).startswith("light")
    views = {run.data.train_view.crop, run.data.eval_view.crop}
    is_tuned_shifted = getattr(run.method_settings, "finetune_view", None) == "shifted"
    rules = {
        "the cosine begins where the warm-up ends": run.schedule.name == "cosine"
        and run.schedule.warmup_steps > 0,
        "AdamW no longer decouples kernel_l2": run.optimizer.name == "adamw"
        and is_light
        and getattr(options, "kernel_l2", KERNEL_L2) > 0,
        "flips and colours come before the shifted crop": is_tuned_shifted or "shifted" in views,
        "ten crops are cut as torchvision cuts them": "ten" in views,
    }
    return next((rule for rule, applies in rules.items() if applies), None)
