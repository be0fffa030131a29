"""Commands that hand a run on: `export`, `card`, `package`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import click

from .mistakes import Command
from .options import DATA_OPTION, JSON_OPTION, TRAINED_RUN, echo_json, tell


@click.command(cls=Command)
@click.argument("folder", type=TRAINED_RUN)
@click.option(
    "--format", "file_format", metavar="onnx|tflite", help="Format of the file; required."
)
@click.option(
    "--precision",
    default="float32",
    metavar="NAME",
    help="Number type of the file: float32 (default), float16 or int8.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="File to write; default: one in RUN/exports/."
)
@click.option(
    "--merge-shortcuts/--keep-shortcuts",
    "merges_shortcuts",
    default=None,
    help="Write a block's last two convolutions as one (default) or as two (default for int8).",
)
@click.option(
    "--input",
    "input_kind",
    metavar="view|picture",
    help="Prepared images, or pictures of any size (only ONNX; its default if that is exact).",
)
@click.option(
    "--images",
    "num_images",
    type=click.IntRange(min=1),
    help="Largest number of images to check the file with; default: all of the test part.",
)
@DATA_OPTION
@JSON_OPTION
def export(folder: Path, as_json: bool, **given: Any) -> None:
    """Export a run's best weights to ONNX or TFLite.

    It runs the file and compares the answers with those of the trained network.
    """
    from poc.shared.actions.exports.export import export_run
    from poc.shared.analysis.tables.terminal import describe_export, export_table, show
    from poc.shared.engine.console.progress import WorkProgress

    with WorkProgress("export") as progress:
        row = export_run(folder, report=progress.update, **given)
    if as_json:
        echo_json(row)
        return
    show(export_table(row))
    click.echo(describe_export(row))
    click.echo(f"File: {row['file']}")
    click.echo("Next to it: " + ", ".join(cast("dict[str, str]", row["companions"])))


@click.command(cls=Command)
@click.argument("run", type=TRAINED_RUN)
@click.option(
    "--output", type=click.Path(path_type=Path), help="New file for the card; default: print it."
)
def card(run: Path, output: Path | None) -> None:
    """Write the model card of a run, as Markdown.

    It has the network, the data, the figures with intervals, the limits and the use.
    """
    from poc.shared.actions.cards.card import save_card, write_card

    if output is None:
        click.echo(write_card(run, note=tell), nl=False)
        return
    save_card(run, output, note=tell)
    tell(f"Written: {output}")


@click.command(cls=Command)
@click.argument("run", type=TRAINED_RUN)
@click.option("--output", type=click.Path(path_type=Path), help="New zip file; required.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="onnx|tflite",
    help="Format of an exported file, repeatable; default: all that this machine can write.",
)
@DATA_OPTION
@JSON_OPTION
def package(
    run: Path, output: Path | None, formats: tuple[str, ...], data: str | None, as_json: bool
) -> None:
    """Write a run as one zip file, to hand on.

    It has the weights, exported files with their scripts, the card and the licences.
    """
    from poc.shared.actions.cards.package import package_run
    from poc.shared.engine.console.progress import WorkProgress

    with WorkProgress("package") as progress:
        result = package_run(run, output, formats=formats, data=data, report=progress.update)
    if as_json:
        echo_json(asdict(result))
        return
    for name in result.files:
        click.echo(name)
    click.echo(f"Written: {result.output}")
