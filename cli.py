"""The `poc` command. It imports neither a framework nor NumPy until a command needs them."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from poc.shared.errors import CheckFailed, UsageError

Command = Callable[..., Any]

RUN_OPTIONS = [
    click.option("--method", metavar="NAME", help="Method; default lightlayers."),
    click.option("--model", metavar="NAME", help="Model; default: the method's."),
    click.option("--k", metavar="N", help="Bottleneck of the light layers (short for --set k=N)."),
    click.option("--config", type=click.Path(path_type=Path), help="TOML file with settings."),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; repeatable."
    ),
    click.option(
        "--data", metavar="SOURCE", help="embedded (default), idx:PATH, npz:PATH, tfds:NAME."
    ),
    click.option("--epochs", metavar="N", help="Passes over the training examples."),
    click.option("--batch-size", metavar="N", help="Examples a step."),
    click.option("--seed", metavar="N", help="Initial weights, order and noise."),
    click.option("--dtype", metavar="NAME", help="float32 (default) or float64."),
    click.option("--weights", metavar="PATH|imagenet", help="Start from these; default: drawn."),
]
OUTPUT_OPTIONS = [
    click.option(
        "--output", type=click.Path(path_type=Path), help="Run folder; default below runs/."
    ),
    click.option("--overwrite", is_flag=True, help="Replace a run that stands in --output."),
]
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def with_options(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Apply several click options, in their order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def read_run(backend: str | None = None, **given: Any) -> Any:
    """The run spec that the command line describes."""
    from poc.shared.spec.run import load_run

    keys = {
        "method": "method",
        "model": "model.name",
        "k": "k",
        "data": "data.source",
        "epochs": "num_epochs",
        "batch_size": "data.batch_size",
        "seed": "seed",
        "dtype": "precision",
        "weights": "initial_weights",
    }
    named = [f"{key}={given[name]}" for name, key in keys.items() if given.get(name) is not None]
    return load_run(given["config"], [*named, *given["assignments"]], backend=backend)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="poc", prog_name="poc")
def cli() -> None:
    """Image-classification methods, each in TensorFlow and in PyTorch, compared fairly."""


@cli.command()
@click.option("--backend", required=True, metavar="tf|torch", help="Framework that trains.")
@with_options([*RUN_OPTIONS, *OUTPUT_OPTIONS, JSON_OPTION])
def run(backend: str, output: Path | None, overwrite: bool, as_json: bool, **given: Any) -> None:
    """Train one backend; print the run's row and its folder."""
    from poc.shared.analysis.tables import comparison_table, show, timing_table
    from poc.shared.engine.launch import launch_run
    from poc.shared.engine.progress import TrainingProgress

    spec = read_run(backend, **given)
    with TrainingProgress(backend) as progress:
        row = launch_run(
            spec, output, command=command_line(), overwrite=overwrite, report=progress.update
        )
    if as_json:
        click.echo(json.dumps(row, indent=1))
        return
    show(comparison_table([row]), timing_table([row]))
    click.echo(f"Run folder: {row['folder']}")


@cli.command()
@with_options([*RUN_OPTIONS, *OUTPUT_OPTIONS, JSON_OPTION])
def compare(output: Path | None, overwrite: bool, as_json: bool, **given: Any) -> None:
    """Train both backends; print the comparison, the parity verdict and the timing."""
    from poc.shared.analysis.comparison import (
        check_parity,
        compare_backends,
        difference_verdict,
    )
    from poc.shared.analysis.tables import comparison_table, parity_table, show, timing_table
    from poc.shared.engine.progress import TrainingProgress

    spec = read_run(**given)
    rungs = check_parity(spec)
    with TrainingProgress("compare") as progress:
        rows = compare_backends(
            spec, output, command=command_line(), overwrite=overwrite, report=progress.update
        )
    if as_json:
        click.echo(
            json.dumps({"rows": rows, "parity": [rung.to_json() for rung in rungs]}, indent=1)
        )
    else:
        show(comparison_table(rows), parity_table(rungs), timing_table(rows))
        click.echo(difference_verdict(rows))
        click.echo("Run folders: " + ", ".join(row["folder"] for row in rows))
    judge(rungs)


@cli.command()
@with_options([*RUN_OPTIONS, JSON_OPTION])
def parity(as_json: bool, **given: Any) -> None:
    """Prove that both backends compute the same; exit 1 on a breach, naming the tensor."""
    from poc.shared.analysis.comparison import check_parity
    from poc.shared.analysis.tables import parity_table, show

    rungs = check_parity(read_run(**given))
    if as_json:
        click.echo(json.dumps([rung.to_json() for rung in rungs], indent=1))
    else:
        show(parity_table(rungs))
    judge(rungs)


def judge(rungs: Any) -> None:
    """Say the verdict, or fail with the first rung that broke."""
    for rung in rungs:
        if not rung.is_passed:
            raise CheckFailed(
                f"parity is broken on the rung {rung.name!r}: {rung.worst} differs by "
                f"{rung.error:.1e}, allowed is {rung.tolerance:.0e}"
            )
    click.echo("Parity holds on every rung.", err=True)


@cli.group()
def models() -> None:
    """The table of models."""


@models.command("list")
@JSON_OPTION
def list_models(as_json: bool) -> None:
    """Every architecture, with its options."""
    from poc.shared.spec.models import MODELS

    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "summary": row.summary,
            "options": {
                key: {"default": field.default, "description": field.description}
                for key, field in row.options.model_fields.items()
            },
        }
        for name, row in MODELS.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['name']}: {row['summary']}")
        for key, option in row["options"].items():
            click.echo(f"    {key} = {json.dumps(option['default'])}  {option['description']}")


@models.command("summary")
@click.argument("name")
@click.option("--backend", metavar="tf|torch", help="Count on the model that this backend builds.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A model option.")
@click.option("--input", "input_shape", metavar="HxWxC", help="Image shape, such as 224x224x3.")
@click.option("--classes", metavar="N", help="Number of classes; default 10.")
@JSON_OPTION
def summarize_model(
    name: str,
    backend: str | None,
    assignments: tuple[str, ...],
    input_shape: str | None,
    classes: str | None,
    as_json: bool,
) -> None:
    """Layers, shapes, parameters and multiply-adds of a model."""
    from poc.shared.analysis.counting import parse_input_shape, summarize, summarize_built
    from poc.shared.analysis.tables import show, summary_table
    from poc.shared.spec.models import find_model
    from poc.shared.spec.run import load_run

    example = find_model(name).example_input
    shape = parse_input_shape(input_shape) if input_shape else example
    named = [f"model.name={name}", f"num_classes={classes or 10}"]
    spec = load_run(
        None, [*named, *assignments], method="scratch", backend=backend, input_shape=shape
    )
    summary = summarize_built(spec) if backend else summarize(spec)
    if as_json:
        click.echo(json.dumps(summary, indent=1))
    else:
        show(summary_table(summary))


@cli.command()
@click.option("--backend", default="torch", metavar="tf|torch", help="Framework that computes.")
@click.option("--keep", default=512, metavar="N", help="Channels of each map that has more.")
@click.option("--shards", default=1, metavar="N", help="Parts that are summed apart and merged.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Folder for the selection."
)
@with_options([*RUN_OPTIONS, JSON_OPTION])
def channels(
    backend: str, keep: int, shards: int, output: Path, as_json: bool, **given: Any
) -> None:
    """Which channels of a source tell the labels apart: statistic, selection, picture."""
    from poc.shared.analysis.channels import select_channels

    given.setdefault("method", None)
    given["method"] = given["method"] or (None if given["config"] else "l2t-ww")
    content = select_channels(read_run(backend, **given), output, keep=keep, num_shards=shards)
    if as_json:
        click.echo(json.dumps(content, indent=1))
        return
    for tap, row in content["taps"].items():
        click.echo(f"{tap}: {len(row['channels'])} of {row['num_channels']} channels kept")
    click.echo(f"{output / 'channels.json'}: use it with --set method_options.channels_file=PATH")


@cli.group()
def weights() -> None:
    """Weight files."""


@weights.command("convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="NAME", help="A row of `poc models list`.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A model option.")
@click.option("--classes", required=True, metavar="N", help="Number of classes.")
@click.option("--input", "shape", metavar="HxWxC", help="Image shape; default: the publication's.")
@click.option("--from", "origin", metavar="FORMAT", help="torch, keras, canonical or a scheme.")
@click.option("--to", metavar="FORMAT", default="canonical", help="The same; default canonical.")
@JSON_OPTION
def convert(source: Path, target: Path, as_json: bool, **given: Any) -> None:
    """Convert published weights into canonical ones, or back; check every name and shape."""
    from poc.shared.analysis.weight_files import convert_for

    report = convert_for(source, target, **given)
    click.echo(json.dumps(report, indent=1) if as_json else "{output}: {summary}".format(**report))


@weights.command("verify")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--checkpoint", type=click.Choice(["best", "last"]), default="best")
@JSON_OPTION
def verify(folder: Path, checkpoint: str, as_json: bool) -> None:
    """Load a run's checkpoint into both backends and compare their logits."""
    from poc.shared.analysis.verification import verify_weights

    rung = verify_weights(folder, checkpoint)
    if as_json:
        click.echo(json.dumps(rung.to_json(), indent=1))
    elif rung.is_passed:
        click.echo(
            f"Both backends give the same logits from {checkpoint}.safetensors: largest relative "
            f"difference {rung.error:.1e}, allowed {rung.tolerance:.0e}."
        )
    if not rung.is_passed:
        raise CheckFailed(
            f"the backends' logits differ by {rung.error:.1e}, allowed is {rung.tolerance:.0e}"
        )


def command_line() -> str:
    """What the user typed."""
    return shlex.join(["poc", *sys.argv[1:]])


def main() -> None:
    """Entry point: turns exceptions into one sentence and an exit code."""
    try:
        cli.main(prog_name="poc", standalone_mode=False)
    except UsageError as error:
        fail(str(error), 2)
    except click.ClickException as error:
        fail(f"{error.format_message()} See `poc --help`.", 2)
    except CheckFailed as error:
        fail(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted; the run folder keeps what was finished", 130)
    except RuntimeError as error:
        # A worker that died has said all that helps; a traceback of this side would not.
        if type(error).__name__ != "WorkerCrashed":
            raise
        fail(str(error), 1)


def fail(message: str, code: int) -> None:
    """Print one sentence on standard error and leave."""
    click.echo(f"poc: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
