"""Shared parts of the commands: options, the run that they describe, a verdict."""

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from poc.shared.errors import CheckFailed

from .completion import (
    complete_configs,
    complete_files,
    complete_keys,
    complete_methods,
    complete_models,
    complete_precisions,
    complete_sources,
    complete_weights,
)

if TYPE_CHECKING:
    from poc.shared.analysis.parity.rungs import Rung
    from poc.shared.engine.console.work_count import Event, Report
    from poc.shared.spec.run import RunSpec


class TrainedRun(click.Path):
    """Argument for the folder of a run; that of a study stands for the run that it recommends."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return the run's folder.

        Raises:
            UsageError: The study has no decision yet, or recommends no network.
        """
        from poc.shared.actions.new_images.recommended_run import find_recommended

        # `path_type` has made it a path.
        return find_recommended(cast(Path, super().convert(value, param, ctx)))


TRAINED_RUN = TrainedRun()
Command = Callable[..., None]
RUN_OPTIONS = [
    click.option(
        "--method",
        metavar="NAME",
        shell_complete=complete_methods,
        help="Method to train with; default: lightlayers.",
    ),
    click.option(
        "--model",
        metavar="NAME",
        shell_complete=complete_models,
        help="Model to train; default: the method's own.",
    ),
    click.option(
        "--student",
        metavar="NAME",
        shell_complete=complete_models,
        help="Same as --model, for the model that learns from a teacher.",
    ),
    click.option(
        "--teacher",
        metavar="PATH",
        shell_complete=complete_files,
        help="Run folder or weight file of the teacher to learn from.",
    ),
    click.option("--k", metavar="N", help="Size k of the light layers; short for --set k=N."),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        shell_complete=complete_configs,
        help="TOML file with settings, or a name from `poc config list`.",
    ),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete_keys,
        help="Change one setting; repeatable.",
    ),
    click.option(
        "--data",
        metavar="SOURCE",
        shell_complete=complete_sources,
        help="Images to use, such as folder:PATH (see `poc data list`); default: embedded.",
    ),
    click.option("--epochs", metavar="N", help="Number of passes over the training examples."),
    click.option(
        "--batch-size",
        metavar="N|auto",
        help="Examples per step; auto finds the largest that fits.",
    ),
    click.option(
        "--seed", metavar="N", help="Seed of the initial weights, the order and the noise."
    ),
    click.option(
        "--dtype",
        metavar="NAME",
        shell_complete=complete_precisions,
        help="Number type: float32, float64, bfloat16 or float16.",
    ),
    click.option(
        "--weights",
        metavar="PATH|imagenet|none",
        shell_complete=complete_weights,
        help="Weights to start from; default: random values.",
    ),
]
SAVE_OPTION = click.option(
    "--save-every",
    metavar="STEPS|MINUTES",
    help="How often to save within an epoch: 500 means steps; default: 10min.",
)
OUTPUT_OPTIONS = [
    SAVE_OPTION,
    click.option(
        "--output", type=click.Path(path_type=Path), help="Run folder; default: a new one in runs/."
    ),
    click.option("--overwrite", is_flag=True, help="Replace the run in --output."),
]
CLUSTER_OPTIONS = [
    click.option(
        "--engine",
        default="local",
        metavar="local|ray",
        help="Program that starts the processes; default: local.",
    ),
    click.option(
        "--address", metavar="ADDRESS", help="Address of the Ray cluster; default: this machine."
    ),
]
ENGINE_OPTIONS = [
    *CLUSTER_OPTIONS,
    click.option(
        "--jobs", type=int, metavar="N", help="Cells to train at the same time; default: 1."
    ),
]
SWEEP_OPTIONS = [
    click.option(
        "--grid",
        "axes",
        multiple=True,
        metavar="KEY=V,V",
        shell_complete=complete_keys,
        help="Values of one setting, as one axis of the grid; repeatable.",
    ),
    click.option(
        "--seeds",
        type=int,
        metavar="N",
        help="Runs per cell, with the seeds seed, seed+1, …; default: 1.",
    ),
    click.option(
        "--output", required=True, type=click.Path(path_type=Path), help="Folder of the sweep."
    ),
    *ENGINE_OPTIONS,
]
# For commands that open a run folder: the data may have moved since the run was trained.
DATA_OPTION = click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_sources,
    help="New place of the run's data; default: the recorded place.",
)
CHECKPOINT_OPTION = click.option(
    "--checkpoint", default="best", metavar="NAME", help="Weights to load: best (default), last …"
)
POSITIVE_OPTION = click.option(
    "--positive",
    metavar="CLASS",
    help="Positive one of two classes, for sensitivity and specificity; default: the second.",
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def with_options(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Return a decorator that adds several click options, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def read_run(
    backend: str | None = None,
    report: "Report" = lambda event: None,
    *,
    is_for_training: bool = False,
    **given: Any,
) -> "RunSpec":
    """Return the run spec that the command line describes; resolve `--batch-size auto`."""
    from poc.shared.actions.requested_run import request_run

    return request_run(backend, report, tell, is_for_training=is_for_training, **given)


def tell(text: str) -> None:
    """Print a note on standard error, in one line whatever names it has; nothing under -q."""
    from poc.shared.engine.console.verbosity import is_quiet
    from poc.shared.shown_names import plain

    if not is_quiet():
        click.echo(plain(text), err=True)


def tell_event(event: "Event") -> None:
    """Print a worker's notes; its other events are for progress bars, not for reading."""
    if event["event"] == "note":
        tell(event["text"])


def echo_json(value: object) -> None:
    """Print a result for programs."""
    click.echo(json.dumps(value, indent=1))


def judge(rungs: "Iterable[Rung]") -> None:
    """Print the verdict, or fail on the first rung that is not passed.

    Raises:
        CheckFailed: A rung broke, or could not be judged.
    """
    from poc.shared.actions.comparison import describe_failure

    if failure := describe_failure(rungs):
        raise CheckFailed(failure)
    tell("Parity holds on every rung.")


def command_line() -> str:
    """Return the command as the user typed it."""
    return shlex.join(["poc", *sys.argv[1:]])
