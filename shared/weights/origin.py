"""The run folder around a weight file, which describes its network and its test."""

from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.whole import read_object
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.reading.stored_runs import read_as_meant


def check_origin(path: str, model: ModelSpec) -> None:
    """Refuse a run's weights for a network that differs in what their shapes do not show.

    A weight file does not describe its network, but the run folder around it does.

    Raises:
        UsageError: An option that was added later differs.
    """
    stored = model_of_run(Path(path).resolve().parent.parent)
    if stored.get("name") != model.name:
        return
    options = stored.get("options")
    known = options if isinstance(options, dict) else {}
    for key in MODELS[model.name].former:
        was, wanted = known.get(key), model.options.get(key)
        if was != wanted:
            raise UsageError(
                f"Got {path!r}, written by a run whose {model.name} has {key}={was!r}, for "
                f"{key}={wanted!r}. Expected the same {key}, since every tensor would fit, but "
                f"into another network. Try --set model.{key}={str(was).lower()}, or train that "
                "run again."
            )


def model_of_run(folder: Path) -> dict[str, object]:
    """Return the model that a run folder names, or {} if none can be read."""
    model = stored_run(folder).get("model")
    if isinstance(model, dict) and isinstance(model.get("options"), dict):
        return dict(model)
    return {}


def stored_run(folder: Path) -> dict[str, object]:
    """Return the run of a run folder in today's settings, or {} if none can be read."""
    try:
        run = read_as_meant(read_object(folder / "run.json")).get("run")
    except UsageError:
        return {}
    return dict(run) if isinstance(run, dict) else {}
