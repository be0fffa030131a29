"""`poc report`: run folders in, Markdown, CSV and one HTML page out.

Every number comes from run folders. The images of the gallery come from the runs' data.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from poc.shared.analysis.figures.accuracy_against_cost import (
    draw_accuracy_against_cost,
    draw_alone,
)
from poc.shared.analysis.figures.bar_charts import draw_bars
from poc.shared.analysis.figures.confusion import draw_confusion
from poc.shared.analysis.figures.l2t_weights import draw_learned_weights
from poc.shared.analysis.figures.learning_curves import draw_curves
from poc.shared.analysis.figures.resolution.cells import grid_of_runs
from poc.shared.analysis.figures.resolution.grid import draw_grid
from poc.shared.analysis.figures.time_to_accuracy import draw_time_to_accuracy
from poc.shared.analysis.gallery.gallery import (
    MAX_PAGE_BYTES,
    Gallery,
    fit_page,
    open_gallery,
)
from poc.shared.analysis.gallery.listing import gallery_file
from poc.shared.analysis.gallery.neighbours import FindNeighbours
from poc.shared.analysis.runs.copies import read_finished_runs
from poc.shared.analysis.runs.groups import Group, by_data, group_runs
from poc.shared.analysis.runs.reading import Problem, Run
from poc.shared.analysis.tables.verdicts import describe_rival, pair_table, rival_table
from poc.shared.analysis.verdicts.findings import (
    baseline,
    collect_findings,
    list_machines,
    machine_of,
    mean_accuracy,
)
from poc.shared.analysis.verdicts.headline import Headline, write_headline
from poc.shared.analysis.verdicts.pairs import Pair, compare_pairs
from poc.shared.analysis.verdicts.rates import describe_labels, describe_rates

from .answer_files import answer_files
from .answer_tables import class_tables, rate_table
from .answered import Answered
from .csv_files import csv_files
from .documents import Report, render_html, render_markdown
from .folder import refuse_full, write_report_folder
from .suspects import suspect_section
from .tables import (
    environment_table,
    export_table,
    further_table,
    main_table,
    problem_table,
    run_table,
)

MAX_LEFT_OUT = 5


@dataclass(frozen=True, kw_only=True)
class Study:
    """The subject of a report: its rows, their comparisons, and the folders left out."""

    folders: Sequence[Path]
    groups: Sequence[Group]
    pairs: Sequence[Pair]
    headline: Headline
    answered: Answered
    problems: Sequence[Problem]


def read_study(folders: Sequence[Path], positive: str | None = None) -> Study:
    """Read the finished runs in or below the folders, and compare them.

    Args:
        folders: Run folders and sweeps.
        positive: Positive one of two classes; none: that of the decisions, or the second.

    Raises:
        UsageError: A folder is missing, none of them holds a complete run, or no run has two
            classes of which one is called `positive`.
    """
    runs, problems = read_finished_runs(folders)
    groups = group_runs(runs)
    pairs = compare_pairs(groups)
    return Study(
        folders=folders,
        groups=groups,
        pairs=pairs,
        headline=write_headline(groups, pairs),
        answered=Answered.of(groups, positive),
        problems=problems,
    )


class WrittenStudy(TypedDict):
    """A study as JSON values, and the paths of what was written."""

    files: list[str]
    headline: list[str]
    rivals: list[dict[str, object]]
    findings: list[str]
    rows: list[dict[str, object]]
    pairs: list[dict[str, object]]
    problems: list[dict[str, str]]


def write_report(
    folders: Sequence[Path], output: Path, *, title: str, command: str
) -> WrittenStudy:
    """Read a study and write its report, as `read_study` and `write_study` do."""
    return write_study(read_study(folders), output, title=title, command=command)


def write_study(
    study: Study,
    output: Path,
    *,
    title: str,
    command: str,
    find_neighbours: FindNeighbours | None = None,
) -> WrittenStudy:
    """Write `report.html`, `report.md` and the CSV files.

    Args:
        study: The subject.
        output: Folder of the report.
        title: Heading of the page.
        command: Command line that writes the report.
        find_neighbours: Finds the training images nearest to those of the gallery; None leaves them
            out.

    Raises:
        UsageError: The output cannot be written, or only over files of somebody else.
    """
    refuse_full(output)
    report = build_report(study, title=title, command=command)
    gallery = open_gallery(study.groups, find_neighbours)
    contents = {
        "report.html": render_page(report, gallery),
        "report.md": render_markdown(replace(report, gallery=gallery)),
        "gallery.csv": gallery_file(gallery.albums),
        **csv_files(study.groups, study.pairs),
        **answer_files(study.groups, study.answered),
        **draw_alone(study.groups),
    }
    written = write_report_folder(output, contents, study.folders, command)
    return {
        "files": written,
        "headline": report.sentences,
        "rivals": [describe_rival(rival) for rival in study.headline.rivals],
        "findings": list(report.findings),
        "rows": [describe_group(group) for group in study.groups],
        "pairs": [{**pair._asdict(), "winner": pair.winner} for pair in study.pairs],
        "problems": [
            {"folder": problem.name, "reason": problem.reason} for problem in study.problems
        ],
    }


def render_page(report: Report, gallery: Gallery) -> str:
    """Render the page with as much of the gallery as it has room for."""
    num_bytes = MAX_PAGE_BYTES - len(render_html(report).encode("utf-8", errors="replace"))
    return render_html(replace(report, gallery=fit_page(gallery, num_bytes)))


def list_left_out(problems: Sequence[Mapping[str, str]]) -> list[str]:
    """Return one line per folder that is left out, for the terminal; if many, the first ones."""
    lines = [f"Left out: {row['folder']}: {row['reason']}." for row in problems[:MAX_LEFT_OUT]]
    more = len(problems) - len(lines)
    return [*lines, f"Left out: {more} more; the page names them."] if more else lines


def build_report(study: Study, *, title: str, command: str) -> Report:
    """Build the tables and pictures of a study."""
    groups, problems = study.groups, study.problems
    runs = [run for group in groups for run in group.runs]
    shares = {known[1] for group in groups if (known := baseline(group))}
    majority = shares.pop() if len(shares) == 1 else None
    curves = [draw_curves(groups, metric) for metric in ("accuracy", "loss")]
    curves.append(draw_time_to_accuracy(groups))
    overview = [draw_bars(groups, majority), draw_accuracy_against_cost(groups)]
    confusions = [draw_confusion(group) for group in groups]
    optional = [rate_table(study.answered.two_classes), export_table(groups)]
    problem_tables = [problem_table(problems)] if problems else []
    grid = grid_of_runs(runs)
    if grid:
        curves.append(draw_grid(grid))
    return Report(
        title=title,
        command=command,
        written=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        facts=describe_facts(groups, runs, problems),
        headline=study.headline.sentences,
        rates=[*describe_rates(study.answered.two_classes), *describe_labels(groups)],
        rivals=rival_table(study.headline.rivals),
        findings=collect_findings(groups),
        tables=[
            main_table(groups),
            further_table(groups),
            *(table for table in optional if table),
            *problem_tables,
        ],
        pictures=[
            *(picture for picture in (*overview, *curves) if picture),
            *study.answered.draw(),
            *draw_learned_weights(groups),
        ],
        confusions=[picture for picture in confusions if picture],
        classes=class_tables(groups),
        suspects=suspect_section(study.folders, groups),
        appendix=[
            *([pair_table(study.pairs)] if study.pairs else []),
            run_table(groups),
            environment_table(runs),
        ],
    )


def describe_facts(
    groups: Sequence[Group], runs: Sequence[Run], problems: Sequence[Problem]
) -> dict[str, str]:
    """Return the few numbers at the head of the page."""
    facts = {"rows": str(len(groups)), "runs": str(len(runs)), "left out": str(len(problems))}
    if len(by_data(groups)) == 1:
        group = groups[0]
        facts["data"] = group.data.source
        facts["test images"] = f"{group.num_test_images:,}"
        if known := baseline(group):
            facts["majority baseline"] = f"{known[1]:.4f}"
    facts["machines"] = str(len(list_machines(runs)))
    return facts


def describe_group(group: Group) -> dict[str, object]:
    """Return a row as JSON values."""
    accuracy = group.spread("test_accuracy")
    return {
        "row": group.label,
        "runs": [run.name for run in group.runs],
        "machines": sorted({" ".join(machine_of(run)) for run in group.runs}),
        "total_parameters": group.runs[0].row["total_parameters"],
        "test_accuracy_mean": mean_accuracy(group) if accuracy else None,
        "test_accuracy_sd": accuracy.sd if accuracy else None,
        "test_accuracy_interval": list(group.interval) if group.interval else None,
    }
