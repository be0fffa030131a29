"""What the commands share: options, the run that they describe, a verdict."""

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poc.shared.errors import CheckFailed, UsageError

from .completion import (
    complete_configs,
    complete_keys,
    complete_methods,
    complete_models,
    complete_precisions,
)

if TYPE_CHECKING:
    from poc.shared.analysis.parity.rungs import Rung
    from poc.shared.engine.console.work_count import Event, Report
    from poc.shared.spec.reading.pretrained import WeightDefaults
    from poc.shared.spec.run import RunSpec

# What `--weights` takes for a drawn body, where a method expects a trained one.
NO_WEIGHTS = "none"
Command = Callable[..., None]
RUN_OPTIONS = [
    click.option(
        "--method",
        metavar="NAME",
        shell_complete=complete_methods,
        help="Method; default lightlayers.",
    ),
    click.option(
        "--model",
        metavar="NAME",
        shell_complete=complete_models,
        help="Model; default: the method's.",
    ),
    click.option(
        "--student",
        metavar="NAME",
        shell_complete=complete_models,
        help="The model that learns from a teacher: --model.",
    ),
    click.option(
        "--teacher",
        metavar="PATH",
        help="Run folder or weight file to learn from.",
    ),
    click.option("--k", metavar="N", help="Bottleneck of the light layers (short for --set k=N)."),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        shell_complete=complete_configs,
        help="TOML file, or a name of `poc config list`.",
    ),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete_keys,
        help="One setting; repeatable.",
    ),
    click.option(
        "--data", metavar="SOURCE", help="embedded (default), folder:PATH …: `poc data list`."
    ),
    click.option("--epochs", metavar="N", help="Passes over the training examples."),
    click.option("--batch-size", metavar="N|auto", help="Examples a step; auto: what fits."),
    click.option("--seed", metavar="N", help="Initial weights, order and noise."),
    click.option(
        "--dtype",
        metavar="NAME",
        shell_complete=complete_precisions,
        help="float32, float64, bfloat16 or float16.",
    ),
    click.option(
        "--weights", metavar="PATH|imagenet|none", help="Start from these; default: drawn."
    ),
]
SAVE_OPTION = click.option(
    "--save-every",
    metavar="STEPS|MINUTES",
    help="Checkpoints within an epoch: 500 (steps) or 10min, the default.",
)
OUTPUT_OPTIONS = [
    SAVE_OPTION,
    click.option(
        "--output", type=click.Path(path_type=Path), help="Run folder; default below runs/."
    ),
    click.option("--overwrite", is_flag=True, help="Replace a run that stands in --output."),
]
SWEEP_OPTIONS = [
    click.option(
        "--grid",
        "axes",
        multiple=True,
        metavar="KEY=V,V",
        shell_complete=complete_keys,
        help="One axis of the grid; repeatable.",
    ),
    click.option("--seeds", type=int, metavar="N", help="Runs a cell: seed, seed+1, …; default 1."),
    click.option(
        "--output", required=True, type=click.Path(path_type=Path), help="Folder of the sweep."
    ),
    click.option("--engine", default="local", metavar="local|ray", help="Where the cells run."),
    click.option("--address", metavar="ADDRESS", help="Ray cluster; default: this machine."),
    click.option("--jobs", type=int, metavar="N", help="Cells at a time; default 1."),
]
# Of commands that open a run folder.
DATA_OPTION = click.option(
    "--data", metavar="SOURCE", help="Where the run's data lies now; default: where it lay."
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def with_options(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Apply several click options, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def read_run(
    backend: str | None = None,
    report: "Report" = lambda event: None,
    **given: Any,
) -> "RunSpec":
    """The run spec that the command line describes; `--batch-size auto` is found here."""
    from poc.shared.spec.reading.config import load_run
    from poc.shared.spec.run import BACKENDS

    is_auto = given.get("batch_size") == "auto"
    given["batch_size"] = None if is_auto else given.get("batch_size")
    spec = load_run(
        given["config"], named_settings(**given), defaults=weight_defaults(), backend=backend
    )
    require_weights(spec, given.get("weights"))
    if not is_auto:
        return spec
    from poc.shared.engine.launch.batch_size import choose_batch_size

    return choose_batch_size(spec, [backend] if backend else BACKENDS, report)


def weight_defaults() -> "WeightDefaults":
    """How weights fill in what a command line leaves open; what they ask for is printed once."""
    from functools import cache

    from poc.shared.actions.weights.foreign import locate_canonical
    from poc.shared.spec.reading.pretrained import WeightDefaults
    from poc.shared.weights.header import describe_weights

    tell_once = cache(tell)
    # A sweep asks for every cell: a file is read and hashed once for each model.
    located: dict[tuple[str, str, str], str] = {}

    def locate(path: str, values: Mapping[str, object]) -> str:
        key = (path, repr(values.get("model")), str(values.get("method")))
        if key not in located:
            located[key] = locate_canonical(path, values, tell_once)
        return located[key]

    return WeightDefaults(describe=describe_weights, locate=locate, note=tell_once)


def require_weights(spec: "RunSpec", given: object) -> None:
    """Refuse to fine-tune a body that nobody has trained, unless that is asked for.

    Raises:
        UsageError: The method starts from weights and none are named.
    """
    from poc.shared.spec.methods.table import find_method

    if (
        find_method(spec.method).fine_tuning
        and spec.initial_weights is None
        and given != NO_WEIGHTS
    ):
        raise UsageError(
            f"received method {spec.method!r} without --weights; allowed are a file, imagenet, or "
            "none for a drawn body: add --weights FILE (`poc weights convert` makes one)"
        )


def named_settings(**given: Any) -> list[str]:
    """The options that name a setting, as `key=value`, then those of `--set`."""
    keys = {
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
    if given.get("model") and given.get("student"):
        raise UsageError(
            f"received --model {given['model']} and --student {given['student']}, two names of one "
            "option; allowed is one of them: remove one"
        )
    if given.get("weights") == NO_WEIGHTS:
        given["weights"] = None
    named = [f"{key}={given[name]}" for name, key in keys.items() if given.get(name) is not None]
    return [*named, *given["assignments"]]


def tell(text: str) -> None:
    """Print a note beside the output, in one line whatever names it holds; nothing under -q."""
    from poc.shared.engine.console.verbosity import is_quiet
    from poc.shared.shown_names import plain

    if not is_quiet():
        click.echo(plain(text), err=True)


def tell_event(event: "Event") -> None:
    """Print what a worker notes; its other events are not for reading."""
    if event["event"] == "note":
        tell(event["text"])


def echo_json(value: object) -> None:
    """Print a result for programs."""
    click.echo(json.dumps(value, indent=1))


def judge(rungs: "Iterable[Rung]") -> None:
    """Say the verdict, or fail with the first rung that broke, else that cannot be judged."""
    for rung in sorted(rungs, key=lambda rung: not rung.is_judged):
        if not rung.is_passed:
            raise CheckFailed(f"parity is {rung.failure}")
    tell("Parity holds on every rung.")


def command_line() -> str:
    """What the user typed."""
    return shlex.join(["poc", *sys.argv[1:]])
