"""The run that a user asks for: options of the command line, or keywords of the Python API."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from poc.shared.engine.console.work_count import Report
from poc.shared.engine.launch.batch_size import choose_batch_size
from poc.shared.engine.resolving.before_data import check_before_data
from poc.shared.errors import UsageError
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.reading.config import load_run, read_toml
from poc.shared.spec.reading.pretrained import NO_WEIGHTS, WeightDefaults
from poc.shared.spec.run import BACKENDS, RunSpec
from poc.shared.weights.header import describe_weights

from .weights.foreign import locate_canonical

# Options of `poc run` that change none of a run's numbers.
WITH_RESUME = "--data, --save-every, --processes, --max-restarts, --engine, --address and --json"
# Option -> the setting that it names.
OPTION_KEYS = {
    "method": "method",
    "model": "model.name",
    "student": "model.name",
    "teacher": "teacher.weights",
    "k": "k",
    "data": "data.source",
    "epochs": "num_epochs",
    "batch_size": "data.batch_size",
    "seed": "seed",
    "dtype": "precision",
    "weights": "initial_weights",
}


def request_run(
    backend: str | None,
    report: Report,
    note: Callable[[str], None],
    *,
    is_for_training: bool = False,
    **given: Any,
) -> RunSpec:
    """Return the run spec that options describe; find a batch size if it is `auto`.

    Args:
        backend: `tf`, `torch`, or None for both.
        report: Called with progress events of the search for a batch size.
        note: Called once with each note about the weights.
        is_for_training: Refuse what the launch would refuse before the data is opened.
        **given: Options by their names with underscores; `assignments` are those of `--set`.

    Raises:
        UsageError: An option or a setting is wrong, or weights are missing.
    """
    is_auto = given.get("batch_size") == "auto"
    given["batch_size"] = None if is_auto else given.get("batch_size")
    spec = load_run(
        given["config"], named_settings(**given), defaults=weight_defaults(note), backend=backend
    )
    require_weights(spec, given.get("weights"))
    if is_for_training:
        # Batch sizes are tried and parity is climbed before the launch, which checks this again.
        check_before_data(spec)
    if not is_auto:
        return spec
    return choose_batch_size(spec, [backend] if backend else BACKENDS, report)


def named_settings(**given: Any) -> list[str]:
    """Return the options that name a setting as `key=value`, then those of `--set`.

    Raises:
        UsageError: Both `--model` and `--student` are given.
    """
    if given.get("model") and given.get("student"):
        raise UsageError(
            f"Got --model {given['model']} and --student {given['student']}, two names of one "
            "option. Expected one of them. Try removing one."
        )
    if given.get("weights") == NO_WEIGHTS:
        given["weights"] = None
    named = [
        f"{key}={given[name]}" for name, key in OPTION_KEYS.items() if given.get(name) is not None
    ]
    return [*named, *given["assignments"]]


def weight_defaults(note: Callable[[str], None]) -> WeightDefaults:
    """Return the settings that a weight file fills in, where the options leave them open.

    Args:
        note: Called once with each note about them.
    """
    note_once = cache(note)
    # A sweep asks for every cell: a file is read and hashed once for each model.
    located: dict[tuple[str, str, str], str] = {}

    def locate(path: str, values: Mapping[str, object]) -> str:
        key = (path, repr(values.get("model")), str(values.get("method")))
        if key not in located:
            located[key] = locate_canonical(path, values, note_once)
        return located[key]

    return WeightDefaults(describe=describe_weights, locate=locate, note=note_once)


def require_weights(spec: RunSpec, given: object) -> None:
    """Refuse to fine-tune an untrained body, unless `--weights none` asks for it.

    Raises:
        UsageError: The method starts from weights and no weights are named.
    """
    if (
        find_method(spec.method).fine_tuning
        and spec.initial_weights is None
        and given != NO_WEIGHTS
    ):
        raise UsageError(
            f"Got method={spec.method!r} without --weights. Expected a file, imagenet, or none for "
            "random values. Try --weights FILE (`poc weights convert` makes one)."
        )


def require_backend(backend: str | None, config: Path | None) -> str:
    """Return the backend that is given, or the one that the config names.

    Raises:
        UsageError: Neither names one.
    """
    if backend is None and config is not None:
        named = read_toml(config).get("backend")
        backend = None if named is None else str(named)
    if backend is None:
        raise UsageError(
            "Got no --backend. Expected tf or torch. Try --backend torch, or --resume DIR to "
            "continue a run."
        )
    return backend


def refuse_beside_resume(allowed: str = WITH_RESUME, **given: object) -> None:
    """Refuse options that would change a run that is resumed.

    Args:
        allowed: Options that do not, for the message.
        **given: Other options; None, False and empty values are none.

    Raises:
        UsageError: One of `given` has a value.
    """
    # A seed of 0 is a value, unlike an option that was not given.
    chosen = [name for name, value in given.items() if value or (value is not False and value == 0)]
    named = [f"--{name.replace('_', '-')}" for name in chosen]
    if named:
        named = ["--set" if name == "--assignments" else name for name in named]
        raise UsageError(
            f"Got --resume with {', '.join(named)}, but a run continues with its own settings. "
            f"Expected only {allowed} with --resume. Try removing the others."
        )
