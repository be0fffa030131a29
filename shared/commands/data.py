"""`poc data`: sources of images and their splits."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from poc.shared.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from poc.shared.analysis.suspects.findings import Findings
    from poc.shared.spec.data import DataSpec
    from poc.shared.spec.views import ResizeRule

from .completion import complete_sources
from .mistakes import Group
from .options import JSON_OPTION, echo_json, tell


@click.group(cls=Group)
def data() -> None:
    """List, describe and split sources of images."""


@data.command("list")
@JSON_OPTION
def list_data(as_json: bool) -> None:
    """List every kind of source, in the form that --data takes."""
    from poc.shared.actions.describe_data import list_sources

    rows = list_sources()
    lines = (f"{row['form']:20} {row['summary']}" for row in rows)
    click.echo(json.dumps(rows, indent=1) if as_json else "\n".join(lines))


@data.command("describe")
@click.argument("source", shell_complete=complete_sources)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for two pictures: examples per class, and image sizes; with --deep also for "
    "suspects.json, which `poc report` reads.",
)
@click.option(
    "--deep",
    "is_deep",
    is_flag=True,
    help="Look at each image for near copies; with --run also for wrong labels and outliers.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="With --deep: run on this data, whose answers and embedding are used; repeatable.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, such as data.columns.label=diagnosis; repeatable.",
)
@JSON_OPTION
def describe_data(
    source: str,
    output: Path | None,
    is_deep: bool,
    runs: tuple[Path, ...],
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print counts, sizes and problems of a source.

    Problems are imbalance, duplicates and unreadable files. --deep adds suspicious images.
    """
    from poc.shared.actions.describe_data import facts_tables, read_facts
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.spec.reading.config import load_run

    if runs and not is_deep:
        raise UsageError("Got --run without --deep. Expected both. Try adding --deep.")
    spec = load_run(None, [f"data.source={source}", *assignments]).data
    facts = read_facts(spec, output)
    findings = look_deep(spec, runs, output) if is_deep else None
    if as_json:
        echo_json({**facts, **({"suspects": findings.model_dump()} if findings else {})})
        return
    show(*facts_tables(facts))
    for remark in facts["remarks"]:
        tell(remark)
    if findings is not None:
        show_findings(findings)


def look_deep(spec: "DataSpec", runs: tuple[Path, ...], output: Path | None) -> "Findings":
    """Look for suspicious images, and store the findings if there is a folder for them."""
    from poc.shared.actions.suspects.examination import examine, store_findings
    from poc.shared.engine.console.progress import WorkProgress

    with WorkProgress("describe") as progress:
        findings = examine(spec, runs, progress.update)
    if output is not None:
        tell(f"Written: {store_findings(findings, output)}")
    return findings


def show_findings(findings: "Findings") -> None:
    """Print the tables of suspicious images, each with its note."""
    from poc.shared.analysis.suspects.tables import suspect_tables
    from poc.shared.analysis.tables.terminal import plain_table, show
    from poc.shared.engine.console.output import plain

    for table in suspect_tables(findings):
        show(plain_table(table))
        click.echo(f"{plain(table.note)}\n")


@data.command("apparent-size")
@click.option(
    "--train",
    "train_size",
    type=int,
    required=True,
    metavar="PIXELS",
    help="Side of the training images.",
)
@click.option(
    "--test",
    "test_size",
    type=int,
    required=True,
    metavar="PIXELS",
    help="Side of the test images.",
)
@click.option(
    "--crop-share",
    type=float,
    default=0.875,
    help="Side of the test crop divided by that of the resized image; default: 0.875.",
)
@click.option(
    "--resize",
    type=click.Choice(["shorter_side", "height"]),
    default="shorter_side",
    help="Side that the resize of test images fixes; default: shorter_side.",
)
@click.option(
    "--area",
    type=(float, float),
    default=(0.08, 1.0),
    metavar="LEAST LARGEST",
    help="Areas of the training crops as shares of the image, data.train_view.area; default: 0.08 "
    "1, those of FixRes.",
)
@JSON_OPTION
def apparent_size(
    train_size: int,
    test_size: int,
    crop_share: float,
    resize: str,
    area: tuple[float, float],
    as_json: bool,
) -> None:
    """Compare object sizes in test and training images.

    It prints the ideal ratio of the apparent sizes and the measured one.
    """
    from poc.shared.analysis.tables.networks import size_table
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.data.views.object_size import apparent_sizes

    rule = cast("ResizeRule", resize)
    result = apparent_sizes(train_size, test_size, crop_share=crop_share, rule=rule, area=area)
    if as_json:
        echo_json(result)
    else:
        show(size_table(result))


@data.command("split")
@click.argument("source", shell_complete=complete_sources)
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with settings.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, such as split.fold=2; repeatable.",
)
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="File for the split."
)
@JSON_OPTION
def split_data(
    source: str, config: Path | None, assignments: tuple[str, ...], output: Path, as_json: bool
) -> None:
    """Write a split to a readable file.

    A run uses it with --set split.kind=listed --set split.file=FILE.
    """
    from poc.shared.actions.describe_data import split_facts, split_table, store_split
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.spec.reading.config import load_run

    split = store_split(load_run(config, [f"data.source={source}", *assignments]).data, output)
    if as_json:
        echo_json(split_facts(split))
    else:
        show(split_table(split))


@data.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "source",
    metavar="SOURCE",
    shell_complete=complete_sources,
    help="New place of the data; default: the place in the split file.",
)
@click.option(
    "--group-pattern",
    metavar="REGEX",
    help="Pattern of the group in an example's id; no group may be in two parts.",
)
@JSON_OPTION
def verify_data(file: Path, source: str | None, group_pattern: str | None, as_json: bool) -> None:
    """Check a split file against its data.

    The exit code is 1 if two parts share an image or a group.
    """
    from poc.shared.actions.describe_data import check_split, split_facts, split_table
    from poc.shared.analysis.tables.terminal import show
    from poc.shared.data.splits.leaks import describe_leaks

    split, leaks = check_split(file, source, group_pattern)
    if as_json:
        echo_json(split_facts(split, leaks))
    else:
        show(split_table(split))
    if leaks:
        raise CheckFailed(
            f"Got a split that leaks: {describe_leaks(leaks)}. Expected every image and group in "
            "one part. Try `poc data split` again, with split.group_pattern set."
        )
    tell("The data is unchanged; no two parts share a content or group.")
