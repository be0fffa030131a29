"""Commands about trained runs: `evaluate`, `grid`, `report`, `track`, `channels`."""

from pathlib import Path
from typing import Any

import click

from poc.shared.errors import CheckFailed

from .completion import complete_backends, complete_keys
from .mistakes import Command
from .options import (
    CHECKPOINT_OPTION,
    DATA_OPTION,
    JSON_OPTION,
    POSITIVE_OPTION,
    RUN_OPTIONS,
    TRAINED_RUN,
    command_line,
    echo_json,
    read_run,
    tell,
    tell_event,
    with_options,
)


@click.command(cls=Command)
@click.argument("folder", type=TRAINED_RUN)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_keys,
    help="Change one setting of the data, such as eval_view.crop=ten; repeatable.",
)
@CHECKPOINT_OPTION
@click.option(
    "--part", default="test", metavar="NAME", help="Images to use: test (default), val or train."
)
@click.option(
    "--export", type=click.Path(path_type=Path), help="File (.npz) for embeddings and softmax."
)
@POSITIVE_OPTION
@DATA_OPTION
@JSON_OPTION
def evaluate(folder: Path, as_json: bool, **given: Any) -> None:
    """Evaluate a trained run, also at other sizes or crops."""
    from poc.shared.actions.evaluate import evaluate_folder
    from poc.shared.analysis.tables.decisions import evaluation_table
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.engine.console.progress import WorkProgress

    with WorkProgress("evaluate") as progress:
        result = evaluate_folder(folder, report=progress.update, **given)
    if as_json:
        echo_json(result)
    else:
        show(evaluation_table(result))


@click.command(cls=Command)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="SVG file for the heat maps.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the tables as Markdown.")
@JSON_OPTION
def grid(folders: tuple[Path, ...], image: Path | None, as_markdown: bool, as_json: bool) -> None:
    """Print FixRes runs by training size and test size.

    The tables show each run before and after fine-tuning; --image draws them.
    """
    from poc.shared.analysis.figures.resolution.cells import (
        data_warning,
        explain_failures,
        read_grid,
    )
    from poc.shared.analysis.figures.resolution.grid import (
        activation_table,
        draw_grid,
        grid_table,
        write_picture,
    )
    from poc.shared.analysis.tables.markdown import markdown_table
    from poc.shared.analysis.tables.terminal import plain_table, show

    cells = read_grid(folders)
    if warning := data_warning(cells):
        tell(warning)
    if image is not None:
        write_picture(draw_grid(cells), image)
        tell(f"Written: {image}")
    if as_json:
        rows = [{**cell.row, "failure": cell.failure} for cell in cells]
        echo_json(rows)
    for table in () if as_json else (grid_table(cells), activation_table(cells)):
        if as_markdown:
            click.echo("\n".join(markdown_table(table)) + "\n")
            continue
        show(plain_table(table))
        click.echo(f"{table.note}\n" if table.note else "", nl=False)
    if reason := explain_failures(cells):
        raise CheckFailed(reason)


@click.command(cls=Command)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of the report; default: report, or report-2 … if that is another report.",
)
@click.option("--title", default="Comparison of runs", help="Heading of the report.")
@click.option(
    "--neighbours",
    "shows_neighbours",
    is_flag=True,
    help="Add the nearest training image to each image; starts each row's framework.",
)
@POSITIVE_OPTION
@JSON_OPTION
def report(
    folders: tuple[Path, ...],
    output: Path | None,
    title: str,
    shows_neighbours: bool,
    positive: str | None,
    as_json: bool,
) -> None:
    """Write a report about runs and sweeps.

    The folder gets Markdown, CSV and one HTML page.
    """
    from poc.shared.actions.suspects.nearest import finder
    from poc.shared.analysis.report.folder import choose_output, refuse_full
    from poc.shared.analysis.report.page import list_left_out, read_study, write_study
    from poc.shared.analysis.tables.terminal import print_headline
    from poc.shared.analysis.tables.verdicts import rival_table
    from poc.shared.engine.console.output import plain
    from poc.shared.engine.console.progress import WorkProgress

    if output is not None:
        refuse_full(output)
    study = read_study(folders, positive)
    if output is None:
        output = choose_output(folders, note=tell)
    with WorkProgress("report") as progress:
        find_neighbours = finder(progress.update) if shows_neighbours else None
        result = write_study(
            study,
            output,
            title=title,
            command=command_line(),
            find_neighbours=find_neighbours,
        )
    if as_json:
        echo_json(result)
        return
    print_headline(result["headline"], rival_table(study.headline.rivals))
    for finding in result["findings"]:
        click.echo(f"- {plain(finding)}")
    for line in list_left_out(result["problems"]):
        click.echo(f"- {plain(line)}")
    click.echo("Written: " + ", ".join(result["files"]))


@click.command(cls=Command)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", metavar="tensorboard|mlflow", help="Tracker to write to; required.")
@click.option(
    "--output",
    metavar="PLACE",
    help="Folder for TensorBoard (default: tensorboard), or URI of MLflow (default: that of "
    "MLFLOW_TRACKING_URI, or sqlite:///mlflow.db).",
)
@click.option("--follow", is_flag=True, help="Go on until every run has ended.")
def track(folders: tuple[Path, ...], to: str | None, output: str | None, follow: bool) -> None:
    """Copy runs to TensorBoard or MLflow, once or while they train.

    It reads the run folders from outside, so it neither slows a run down nor stops it.
    """
    from poc.shared.actions.tracking.track import track_runs
    from poc.shared.shown_names import say

    count = track_runs(folders, to=to, place=output, follow=follow, note=tell)
    click.echo(f"{say(count, 'run')} written to {to}.")


@click.command(cls=Command)
@click.option(
    "--backend",
    default="torch",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to compute with; default: torch.",
)
@click.option(
    "--keep",
    default=512,
    metavar="N",
    help="Channels to keep in each map that has more; default: 512.",
)
@click.option(
    "--shards",
    default=1,
    metavar="N",
    help="Number of parts to sum separately, then merge; default: 1.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Folder for the selection."
)
@with_options([*RUN_OPTIONS, JSON_OPTION])
def channels(
    backend: str, keep: int, shards: int, output: Path, as_json: bool, **given: Any
) -> None:
    """Select the channels that separate the labels best.

    They are channels of the teacher. Their statistic and a picture of it are written too.
    """
    from poc.shared.actions.channels import select_channels

    given.setdefault("method", None)
    given["method"] = given["method"] or (None if given["config"] else "l2t-ww")
    run = read_run(backend, **given)
    content = select_channels(run, output, keep=keep, num_shards=shards, report=tell_event)
    if as_json:
        echo_json(content)
        return
    for tap, row in content["taps"].items():
        click.echo(f"{tap}: {len(row['channels'])} of {row['num_channels']} channels kept")
    click.echo(f"{output / 'channels.json'}: use it with --set method_options.channels_file=PATH")
