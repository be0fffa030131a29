"""The `poc` command. It imports neither a framework nor NumPy until a command needs them."""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from poc.shared.errors import CheckFailed, Interrupted, UsageError

Command = Callable[..., Any]

RUN_OPTIONS = [
    click.option("--method", metavar="NAME", help="Method; default lightlayers."),
    click.option("--model", metavar="NAME", help="Model; default: the method's."),
    click.option("--target", metavar="NAME", help="The model that learns from a source: --model."),
    click.option(
        "--source", metavar="PATH", help="Run folder or safetensors file of a trained network."
    ),
    click.option("--k", metavar="N", help="Bottleneck of the light layers (short for --set k=N)."),
    click.option("--config", type=click.Path(path_type=Path), help="TOML file with settings."),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="One setting; repeatable."
    ),
    click.option(
        "--data", metavar="SOURCE", help="embedded (default), folder:PATH …: `poc data list`."
    ),
    click.option("--epochs", metavar="N", help="Passes over the training examples."),
    click.option("--batch-size", metavar="N|auto", help="Examples a step; auto: what fits."),
    click.option("--seed", metavar="N", help="Initial weights, order and noise."),
    click.option("--dtype", metavar="NAME", help="float32 (default) or float64."),
    click.option("--weights", metavar="PATH|imagenet", help="Start from these; default: drawn."),
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
        "--grid", "axes", multiple=True, metavar="KEY=V,V", help="One axis of the grid; repeatable."
    ),
    click.option("--seeds", type=int, metavar="N", help="Runs a cell: seed, seed+1, …; default 1."),
    click.option(
        "--output", required=True, type=click.Path(path_type=Path), help="Folder of the sweep."
    ),
    click.option("--engine", default="local", metavar="local|ray", help="Where the cells run."),
    click.option("--address", metavar="ADDRESS", help="Ray cluster; default: this machine."),
    click.option("--jobs", type=int, metavar="N", help="Cells at a time; default 1."),
]
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
    report: Callable[[Any], None] = lambda event: None,
    **given: Any,
) -> Any:
    """The run spec that the command line describes; `--batch-size auto` is found here."""
    from poc.shared.spec.run import BACKENDS, load_run

    is_auto = given.get("batch_size") == "auto"
    given["batch_size"] = None if is_auto else given.get("batch_size")
    spec = load_run(given["config"], named_settings(**given), backend=backend)
    if not is_auto:
        return spec
    from poc.shared.engine.batch_size import choose_batch_size

    return choose_batch_size(spec, [backend] if backend else BACKENDS, report)


def named_settings(**given: Any) -> list[str]:
    """The options that name a setting, as `key=value`, then those of `--set`."""
    keys = {
        "method": "method",
        "model": "model.name",
        "target": "model.name",
        "source": "source.weights",
        "k": "k",
        "data": "data.source",
        "epochs": "num_epochs",
        "batch_size": "data.batch_size",
        "seed": "seed",
        "dtype": "precision",
        "weights": "initial_weights",
    }
    if given.get("model") and given.get("target"):
        raise UsageError(
            f"received --model {given['model']} and --target {given['target']}, two names of one "
            "option; allowed is one of them: remove one"
        )
    named = [f"{key}={given[name]}" for name, key in keys.items() if given.get(name) is not None]
    return [*named, *given["assignments"]]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="poc", prog_name="poc")
def cli() -> None:
    """Image-classification methods, each in TensorFlow and in PyTorch, compared fairly."""


@cli.command()
@click.option("--backend", metavar="tf|torch", help="Framework that trains; required.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with this run, alone."
)
@with_options([*RUN_OPTIONS, *OUTPUT_OPTIONS, JSON_OPTION])
def run(
    backend: str | None,
    resume: Path | None,
    output: Path | None,
    overwrite: bool,
    save_every: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train one backend; print the run's row and its folder."""
    from poc.shared.analysis.tables import comparison_table, show, timing_table
    from poc.shared.engine.launch import launch_run, resume_run
    from poc.shared.engine.progress import TrainingProgress

    saving = {"save_every": save_every} if save_every else {}
    if resume is not None:
        refuse_beside_resume(backend=backend, output=output, overwrite=overwrite, **given)
        with TrainingProgress("resume") as progress:
            row = resume_run(resume, command=command_line(), report=progress.update, **saving)
    elif backend is None:
        raise UsageError(
            "received no --backend; allowed are tf and torch: add --backend, or --resume DIR"
        )
    else:
        with TrainingProgress(backend) as progress:
            row = launch_run(
                read_run(backend, report=progress.update, **given),
                output,
                command=command_line(),
                overwrite=overwrite,
                report=progress.update,
                **saving,
            )
    if as_json:
        click.echo(json.dumps(row, indent=1))
        return
    show(comparison_table([row]), timing_table([row]))
    click.echo(f"Run folder: {row['folder']}")


def refuse_beside_resume(**given: Any) -> None:
    """A run goes on as it began: nothing about it can be set anew."""
    named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if named:
        named = ["--set" if name == "--assignments" else name for name in named]
        raise UsageError(
            f"received --resume with {', '.join(named)}; allowed beside it are --save-every and "
            "--json, since a run goes on as it began: remove the others"
        )


@cli.command()
@with_options([*RUN_OPTIONS, *OUTPUT_OPTIONS, JSON_OPTION])
def compare(
    output: Path | None, overwrite: bool, save_every: str | None, as_json: bool, **given: Any
) -> None:
    """Train both backends; print the comparison, the parity verdict and the timing."""
    from poc.shared.analysis.comparison import (
        check_parity,
        compare_backends,
        difference_verdict,
    )
    from poc.shared.analysis.tables import comparison_table, parity_table, show, timing_table
    from poc.shared.engine.progress import TrainingProgress

    with TrainingProgress("compare") as progress:
        spec = read_run(report=progress.update, **given)
        rungs = check_parity(spec)
        rows = compare_backends(
            spec,
            output,
            command=command_line(),
            overwrite=overwrite,
            report=progress.update,
            **({"save_every": save_every} if save_every else {}),
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


@cli.command()
@with_options([*RUN_OPTIONS, *SWEEP_OPTIONS, JSON_OPTION])
def sweep(
    output: Path,
    axes: tuple[str, ...],
    seeds: int | None,
    engine: str,
    address: str | None,
    jobs: int | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Train every cell of a grid, each in a process of its own; called again, it continues."""
    from poc.shared.analysis.tables import show, sweep_table
    from poc.shared.engine.executors import make_executor
    from poc.shared.engine.progress import SweepProgress
    from poc.shared.engine.sweep import run_sweep
    from poc.shared.spec.sweep import load_sweep

    cells = load_sweep(given["config"], named_settings(**given), axes, seeds)
    executor = make_executor(engine, address=address, jobs=jobs)
    with SweepProgress(len(cells)) as progress:
        rows = run_sweep(cells, output, executor, command=command_line(), report=progress.update)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        show(sweep_table(rows))
        click.echo(f"Sweep folder: {output}")
    failed = [row["cell"] for row in rows if row["status"] != "finished"]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(rows)} cells failed, the first is {failed[0]}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Such as eval_view.crop=ten."
)
@click.option("--checkpoint", default="best", metavar="NAME", help="best (default), last …")
@click.option("--part", default="test", metavar="NAME", help="test (default), val or train.")
@click.option(
    "--export", type=click.Path(path_type=Path), help="npz file for embeddings and softmax."
)
@JSON_OPTION
def evaluate(
    folder: Path,
    assignments: tuple[str, ...],
    checkpoint: str,
    part: str,
    export: Path | None,
    as_json: bool,
) -> None:
    """Evaluate a run's network at another size or with several crops; train nothing."""
    from poc.shared.analysis.evaluation import evaluate_folder, evaluation_table
    from poc.shared.analysis.tables import show

    result = evaluate_folder(folder, assignments, checkpoint=checkpoint, part=part, export=export)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        show(evaluation_table(result))


@cli.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="SVG file for the heat maps.")
@JSON_OPTION
def grid(folders: tuple[Path, ...], image: Path | None, as_json: bool) -> None:
    """Table and heat maps of FixRes runs: training size x test size, before and after."""
    from poc.shared.analysis.report import markdown_table
    from poc.shared.analysis.resolution_grid import (
        activation_table,
        draw_grid,
        grid_table,
        read_grid,
        write_picture,
    )

    cells = read_grid(folders)
    if image is not None:
        write_picture(draw_grid(cells), image)
    if as_json:
        rows = [{**cell.row, "failure": cell.failure} for cell in cells]
        click.echo(json.dumps(rows, indent=1))
        return
    for table in (grid_table(cells), activation_table(cells)):
        click.echo("\n".join(markdown_table(table)) + "\n")


@cli.command()
@with_options([*RUN_OPTIONS, JSON_OPTION])
@click.option("--folds", type=int, default=5, metavar="N", help="Folds; default 5.")
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Folder of the probe."
)
def probe(folds: int, output: Path, as_json: bool, **given: Any) -> None:
    """Test a pretrained body on every fold against a drawn one, in both backends."""
    from poc.shared.analysis.probe import probe_table, run_probe
    from poc.shared.analysis.tables import show
    from poc.shared.engine.progress import SweepProgress

    weights = given.pop("weights")
    if weights is None:
        raise UsageError(
            "received no --weights; allowed is a canonical safetensors file: name the pretrained "
            "body that is probed"
        )
    settings = named_settings(**given)
    with SweepProgress(4 * folds) as progress:
        result = run_probe(
            given["config"],
            settings,
            weights=weights,
            num_folds=folds,
            output=output,
            command=command_line(),
            report=progress.update,
        )
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    show(probe_table(result))
    for backend, gain in result["gain"].items():
        p_value = result["p_values"][backend]
        click.echo(f"{backend}: pretrained {100 * gain:+.1f} points, McNemar p = {p_value:.2g}")


@cli.command()
@with_options([*RUN_OPTIONS])
@click.option(
    "--side", "sides", multiple=True, metavar="BACKEND[:MODE[:THREADS]]", help="Repeatable."
)
@click.option("--modes", metavar="all", help="Every mode of both backends.")
@click.option("--processes", type=int, default=5, metavar="N", help="Of each side; default 5.")
@click.option("--warmup", type=int, default=10, metavar="N", help="Steps not counted; default 10.")
@click.option("--steps", type=int, default=30, metavar="N", help="Timed steps; default 30.")
@click.option("--output", type=click.Path(path_type=Path), help="File; default bench.json.")
@click.option("--report", "page", type=click.Path(path_type=Path), help="Folder for a page.")
@click.option("--verify", "file", type=click.Path(path_type=Path), help="Check a bench file.")
@JSON_OPTION
def bench(
    sides: tuple[str, ...],
    modes: str | None,
    processes: int,
    warmup: int,
    steps: int,
    output: Path | None,
    page: Path | None,
    file: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Time both backends side by side, after a proof that they compute the same."""
    from poc.shared.analysis.bench import bench as time_sides
    from poc.shared.analysis.bench import verify_bench
    from poc.shared.analysis.bench_report import bench_tables, write_bench_report
    from poc.shared.analysis.tables import plain_table, show
    from poc.shared.spec.bench import BenchSpec, parse_sides

    if file is not None:
        result = verify_bench(file)
    else:
        values = {
            "run": read_run(**given),
            "sides": parse_sides(sides, modes),
            "num_processes": processes,
            "warmup_steps": warmup,
            "timed_steps": steps,
        }
        result = time_sides(
            BenchSpec.parse(values, "bench"),
            output or Path("bench.json"),
            command=command_line(),
            report=lambda text: click.echo(text, err=True),
        )
    files = write_bench_report(result, page) if page else []
    if as_json:
        click.echo(json.dumps(result["derived"], indent=1))
        return
    show(*(plain_table(table) for table in bench_tables(result)))
    for warning in result["derived"]["warnings"]:
        click.echo(f"Warning: {warning}")
    if files:
        click.echo("Written: " + ", ".join(files))


@cli.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), default="report", help="Folder; default report."
)
@click.option("--title", default="Comparison of runs", help="Heading of the report.")
@JSON_OPTION
def report(folders: tuple[Path, ...], output: Path, title: str, as_json: bool) -> None:
    """Write Markdown, CSV and one HTML page about run folders and sweeps."""
    from poc.shared.analysis.report import write_report

    result = write_report(folders, output, title=title, command=command_line())
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    for finding in result["findings"]:
        click.echo(f"- {finding}")
    click.echo("Written: " + ", ".join(result["files"]))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format", "file_format", required=True, metavar="onnx|tflite", help="File to write."
)
@click.option(
    "--precision", default="float32", metavar="NAME", help="float32 (default), float16 or int8."
)
@click.option("--output", type=click.Path(path_type=Path), help="File; default RUN/exports/.")
@click.option(
    "--merge-shortcuts/--keep-shortcuts",
    "merges_shortcuts",
    default=None,
    help="Write a block's last two convolutions as one, or as two (default in int8).",
)
@click.option("--images", "num_images", type=int, default=512, help="Images that judge the file.")
@JSON_OPTION
def export(folder: Path, as_json: bool, **given: Any) -> None:
    """Write a run's best weights for ONNX Runtime or TFLite, run the file and compare."""
    from poc.shared.analysis.export import describe_export, export_run
    from poc.shared.analysis.tables import export_table, show

    row = export_run(folder, **given)
    if as_json:
        click.echo(json.dumps(row, indent=1))
        return
    show(export_table(row))
    click.echo(describe_export(row))
    click.echo(f"File: {row['file']}")


def judge(rungs: Any) -> None:
    """Say the verdict, or fail with the first rung that broke."""
    for rung in rungs:
        if not rung.is_passed:
            raise CheckFailed(
                f"parity is broken on the rung {rung.name!r}: {rung.worst} differs by "
                f"{rung.error:.1e}, allowed is {rung.tolerance:.0e}"
            )
    click.echo("Parity holds on every rung.", err=True)


@cli.command()
@JSON_OPTION
def doctor(as_json: bool) -> None:
    """Say what is installed and what will run, and try a small parity on each device."""
    from poc.shared.analysis.doctor import doctor_tables, examine
    from poc.shared.analysis.tables import plain_table, show

    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        show(*(plain_table(table) for table in doctor_tables(facts)))
    if facts["problems"]:
        raise CheckFailed("; ".join(facts["problems"]))
    click.echo("Nothing to complain of.", err=True)


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
@click.option("--taps", "only_taps", is_flag=True, help="List the taps with their shapes instead.")
@JSON_OPTION
def summarize_model(
    name: str,
    backend: str | None,
    assignments: tuple[str, ...],
    input_shape: str | None,
    classes: str | None,
    only_taps: bool,
    as_json: bool,
) -> None:
    """Layers, shapes, parameters and multiply-adds of a model."""
    from poc.shared.analysis.counting import (
        parse_input_shape,
        summarize,
        summarize_built,
        summarize_taps,
    )
    from poc.shared.analysis.tables import show, summary_table, taps_table
    from poc.shared.spec.models import find_model
    from poc.shared.spec.run import load_run

    example = find_model(name).example_input
    shape = parse_input_shape(input_shape) if input_shape else example
    named = [f"model.name={name}", f"num_classes={classes or 10}"]
    spec = load_run(
        None, [*named, *assignments], method="scratch", backend=backend, input_shape=shape
    )
    if only_taps:
        summary, table = summarize_taps(spec), taps_table
    else:
        summary, table = summarize_built(spec) if backend else summarize(spec), summary_table
    if as_json:
        click.echo(json.dumps(summary, indent=1))
    else:
        show(table(summary))


@models.command("removal")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--batches", type=int, metavar="N", help="Test batches to evaluate; default all.")
@JSON_OPTION
def remove_blocks(folder: Path, batches: int | None, as_json: bool) -> None:
    """Leave single blocks out of a trained run's network and print the test error."""
    from poc.shared.analysis.removal import measure_removals
    from poc.shared.analysis.tables import removal_table, show

    rows = measure_removals(folder, num_batches=batches)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        show(removal_table(rows))


@cli.group()
def data() -> None:
    """Sources of images and their splits."""


@data.command("list")
@JSON_OPTION
def list_data(as_json: bool) -> None:
    """Every kind of source, as --data takes it."""
    from poc.shared.analysis.data_report import list_sources

    rows = list_sources()
    lines = (f"{row['form']:20} {row['summary']}" for row in rows)
    click.echo(json.dumps(rows, indent=1) if as_json else "\n".join(lines))


@data.command("describe")
@click.argument("source")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for two pictures.")
@JSON_OPTION
def describe_data(source: str, output: Path | None, as_json: bool) -> None:
    """Counts, sizes, balance, duplicates and unreadable files of a source."""
    from poc.shared.analysis.data_report import facts_tables, read_facts
    from poc.shared.analysis.tables import show

    facts = read_facts(source, output)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        show(*facts_tables(facts))


@data.command("apparent-size")
@click.option("--train", "train_size", type=int, required=True, metavar="PIXELS")
@click.option("--test", "test_size", type=int, required=True, metavar="PIXELS")
@click.option("--crop-share", type=float, default=0.875, help="Crop over resized; default 0.875.")
@click.option(
    "--resize",
    type=click.Choice(["shorter_side", "height"]),
    default="shorter_side",
    help="Rule of the test's resize.",
)
@JSON_OPTION
def apparent_size(
    train_size: int, test_size: int, crop_share: float, resize: str, as_json: bool
) -> None:
    """How large the test shows objects over how large training did: ideal and measured."""
    from poc.shared.analysis.tables import show, size_table
    from poc.shared.data.apparent import apparent_sizes

    rule: Any = resize
    result = apparent_sizes(train_size, test_size, crop_share=crop_share, rule=rule)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        show(size_table(result))


@data.command("split")
@click.argument("source")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with settings.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Such as split.fold=2."
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="File.")
@JSON_OPTION
def split_data(
    source: str, config: Path | None, assignments: tuple[str, ...], output: Path, as_json: bool
) -> None:
    """Write a split as a readable file; --set split.kind=listed --set split.file=FILE uses it."""
    from poc.shared.analysis.data_report import split_facts, split_table, store_split
    from poc.shared.analysis.tables import show
    from poc.shared.spec.run import load_run

    split = store_split(load_run(config, [f"data.source={source}", *assignments]).data, output)
    if as_json:
        click.echo(json.dumps(split_facts(split), indent=1))
    else:
        show(split_table(split))


@data.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", "source", metavar="SOURCE", help="Where the data lies here.")
@click.option("--group-pattern", metavar="REGEX", help="Groups that must not be divided.")
@JSON_OPTION
def verify_data(file: Path, source: str | None, group_pattern: str | None, as_json: bool) -> None:
    """Check a split file against its data; exit 1 where two parts share a content or a group."""
    from poc.shared.analysis.data_report import check_split, split_facts, split_table
    from poc.shared.analysis.tables import show
    from poc.shared.data.leaks import describe_leaks

    split, leaks = check_split(file, source, group_pattern)
    if as_json:
        click.echo(json.dumps(split_facts(split, leaks), indent=1))
    else:
        show(split_table(split))
    if leaks:
        raise CheckFailed(f"the split leaks: {describe_leaks(leaks)}")
    click.echo("The data is unchanged; no two parts share a content or group.", err=True)


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


@weights.command("factorize")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="New folder.")
@click.option("--variant", default="spatial", metavar="basis|spatial", help="Default spatial.")
@click.option("--rank", type=int, metavar="N", help="The same rank in every convolution.")
@click.option(
    "--budget-parameters", type=float, metavar="N", help="Largest count, or a share up to 1."
)
@click.option("--budget-macs", type=float, metavar="N", help="The same of the multiply-adds.")
@JSON_OPTION
def factorize(folder: Path, output: Path, as_json: bool, **given: Any) -> None:
    """Write a trained network's convolutions as two of low rank each, to be fine-tuned."""
    from poc.shared.analysis.low_rank import factorize_run
    from poc.shared.analysis.tables import factor_table, show

    result = factorize_run(folder, output, **given)
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    show(factor_table(result))
    click.echo(
        "Accuracy on {num_images} images: {accuracy_before:.4f} before, {accuracy_after:.4f} after "
        "truncation.".format(**result)
    )
    click.echo(f"Fine-tune: poc run --backend tf|torch --config {output / 'run.toml'}")


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
    from poc.shared.engine.interruption import forwarding

    try:
        with forwarding():
            cli.main(prog_name="poc", standalone_mode=False)
    except UsageError as error:
        fail(str(error), 2)
    except click.ClickException as error:
        fail(f"{error.format_message()} See `poc --help`.", 2)
    except CheckFailed as error:
        fail(str(error), 1)
    except click.Abort as error:
        # What click makes of a KeyboardInterrupt.
        stop = error.__cause__
        code = stop.exit_code if isinstance(stop, Interrupted) else Interrupted.exit_code
        fail(str(stop or "") or "interrupted; the run folder keeps what was finished", code)
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
