"""The report on a bench file: tables for the terminal, Markdown and one HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from poc.shared.analysis.figures.axis_scales import label_linear
from poc.shared.analysis.figures.drawing import (
    BACKEND_COLOURS,
    INK,
    Mark,
    Picture,
    drawing,
    mark_backends,
    to_svg,
)
from poc.shared.analysis.report.documents import Report, render_html, render_markdown
from poc.shared.analysis.report.folder import refuse_foreign, write_report_folder
from poc.shared.analysis.runs.groups import list_threads
from poc.shared.analysis.tables.table import Table
from poc.shared.engine.machine.environment import count_threads
from poc.shared.engine.timing.bench_file import (
    FORMAT,
    BenchFile,
    Derived,
    MeanRatio,
    SideRatio,
    SideSummary,
)

from .caveats import METHOD, UNFAIR
from .seal import CHECKSUM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNSEALED = (
    "The file has no checksum, because its format has none: its derived numbers were computed "
    "again, but a change of any other value would not be noticed."
)
FORMER_INTERVALS = (
    "The intervals are those of the file's former format, the expanded percentile bootstrap over "
    "rounds. It is too narrow for few of them: with five rounds it tells equal sides apart in 8 % "
    "of the cases, where 5 % are meant."
)
# Width of a picture in inches.
WIDTH = 4.9
FILES = ("report.html", "report.md")
ROW_TITLES = {
    "import": "import",
    "build": "model build",
    "first_step": "first step",
    "step": "step",
    "bare_step": "bare step",
    "evaluation_batch": "evaluation of a batch",
    "pipeline_epoch": "data pipeline alone, an epoch",
    "epoch": "training epoch, end to end",
}


def bench_tables(bench: BenchFile) -> list[Table]:
    """Return the tables of times, rates and ratios."""
    derived = bench["derived"]
    return [times_table(derived["sides"]), rates_table(bench), ratio_table(derived)]


def times_table(sides: Sequence[SideSummary]) -> Table:
    """Return the table of times, with one line per side and part."""
    rows = [
        [side["name"], ROW_TITLES[name], *numbers(row)]
        for side in sides
        for name, row in side["rows"].items()
    ]
    columns = ("side", "part", "median ms", "IQR ms", "p5 ms", "p95 ms", "samples", "processes")
    return Table(title="Where the time goes", columns=columns, rows=rows, words=("side", "part"))


def numbers(row: Mapping[str, float]) -> list[str]:
    """Format the figures of one part as cells: milliseconds, then the numbers of samples."""
    times = (f"{1000 * row[key]:,.2f}" for key in ("median", "iqr", "p5", "p95"))
    return [*times, f"{row['num_samples']:.0f}", f"{row['num_processes']:.0f}"]


def rates_table(bench: BenchFile) -> Table:
    """Return the table of rates and memory, with one line per side."""
    rows = [
        [
            side["name"],
            write_threads(bench, index),
            f"{side['images_per_second']:,.0f}",
            f"{side['flops_per_second'] / 1e9:,.1f}",
            f"{side['matmul_flops_per_second'] / 1e9:,.1f}",
            f"{side['utilisation']:.1%}",
            write_ratio(side["loop_over_bare"]),
            write_ratio(side["epoch_over_steps"]),
            write_mebibytes(side["peak_memory_bytes"]),
            write_mebibytes(side["peak_device_bytes"]),
        ]
        for index, side in enumerate(bench["derived"]["sides"])
    ]
    columns = (
        *("side", "threads", "images/s", "GFLOP/s", "matmul GFLOP/s", "utilisation"),
        *("step over bare step", "epoch over its steps", "peak memory MiB", "peak device MiB"),
    )
    return Table(title="Rates and memory", columns=columns, rows=rows)


def write_threads(bench: BenchFile, side: int) -> str:
    """List the numbers of threads of one operation in a side's processes."""
    processes = [process for process in bench["processes"] if process["side"] == side]
    return list_threads([{"threads": count_threads(process)} for process in processes])


def write_ratio(found: MeanRatio) -> str:
    """Format a ratio and its interval: `1.234 [1.200, 1.270]`."""
    return f"{found['ratio']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def write_mebibytes(count: int | None) -> str:
    """Format bytes as MiB; a dash if they are unknown."""
    return "-" if count is None else f"{count / 2**20:,.0f}"


def ratio_table(derived: Derived) -> Table:
    """Return the table of ratios, with one line per pair of sides and part."""
    names = [side["name"] for side in derived["sides"]]
    rows = [
        [
            f"{names[item['first']]} / {names[item['second']]}",
            ROW_TITLES[item["row"]],
            write_ratio(item),
            judge_ratio(item, names, is_doubtful=bool(derived["warnings"])),
        ]
        for item in derived["ratios"]
    ]
    columns = ("pair", "part", "ratio of seconds [95 % interval]", "verdict")
    return Table(title="Ratios", columns=columns, rows=rows, words=("pair", "part", "verdict"))


def judge_ratio(item: SideRatio, names: Sequence[str], *, is_doubtful: bool) -> str:
    """Return the verdict of a ratio: the side that took less time, if a difference is shown."""
    if not item["is_shown"]:
        return "no difference shown"
    faster = names[item["second"] if item["ratio"] > 1 else item["first"]]
    unproved = ", in another precision: not proved equal" if item.get("is_unproved") else ""
    return f"{faster} takes less time{unproved}" + (", but see the warnings" if is_doubtful else "")


def label_axes(axes: "Axes", sides: Sequence[SideSummary], quantity: str) -> None:
    """Set the axes of a picture: sides from top to bottom, the quantity to the right."""
    axes.set_xlabel(quantity)
    label_linear(axes.xaxis)
    axes.grid(axis="x")
    axes.set_yticks(range(len(sides)), [side["name"] for side in sides])
    axes.invert_yaxis()


def mark_sides(bench: BenchFile) -> list[Mark]:
    """Return the legend of the sides' frameworks."""
    return mark_backends([side["backend"] for side in bench["spec"]["sides"]])


def draw_rates(bench: BenchFile) -> Picture:
    """Draw images per second: a bar per side, and the middle half of its steps as a line."""
    sides = bench["derived"]["sides"]
    batch_size = bench["processes"][0]["batch_size"]
    description = f"Images per second of {len(sides)} sides in training."
    with drawing(WIDTH, 1.2 + 0.5 * len(sides)) as figure:
        axes = figure.subplots()
        for index, side in enumerate(sides):
            colour = BACKEND_COLOURS[bench["spec"]["sides"][index]["backend"]]
            axes.barh(index, side["images_per_second"], height=0.6, color=colour)
            row = side["rows"]["step"]
            middle = [batch_size / row["p75"], batch_size / row["p25"]]
            axes.plot(middle, [index, index], color=INK, linewidth=1.2)
        label_axes(axes, sides, "images per second")
        svg = to_svg(figure, description)
    return Picture(
        title="Rates",
        panels=[svg],
        legend=mark_sides(bench),
        description=f"{description} The line spans the middle half of the steps.",
        table=rates_table(bench),
    )


def draw_steps(bench: BenchFile) -> Picture:
    """Draw every sample of the steady step, with one line of points per process."""
    sides = bench["derived"]["sides"]
    description = f"Milliseconds of each timed step of {len(sides)} sides, by process."
    with drawing(WIDTH, 1.2 + 0.7 * len(sides)) as figure:
        axes = figure.subplots()
        for index in range(len(sides)):
            backend = bench["spec"]["sides"][index]["backend"]
            members = [p for p in bench["processes"] if p["side"] == index]
            for number, process in enumerate(members):
                heights = index + np.linspace(-0.3, 0.3, max(len(members), 2))[number]
                values = 1000 * np.asarray(process["seconds"]["step"])
                axes.scatter(
                    values, np.full(len(values), heights), s=5, color=BACKEND_COLOURS[backend]
                )
            middle = 1000 * sides[index]["rows"]["step"]["median"]
            axes.plot([middle, middle], [index - 0.38, index + 0.38], color=INK, linewidth=1.2)
        label_axes(axes, sides, "ms per step")
        svg = to_svg(figure, description)
    return Picture(
        title="Steps",
        panels=[svg],
        legend=mark_sides(bench),
        description=f"{description} Lines of points are processes; the bar is the median.",
        table=times_table([{**side, "rows": {"step": side["rows"]["step"]}} for side in sides]),
    )


def environment_table(bench: BenchFile) -> Table:
    """Return the table of the environment of each side's first process."""
    # Reversed, so that the first process of a side is the last to be set.
    first = {process["side"]: process for process in reversed(bench["processes"])}
    rows = []
    for index, process in sorted(first.items()):
        name = bench["derived"]["sides"][index]["name"]
        values = {
            **process["environment"],
            "batch_size": process["batch_size"],
            "precision": process["precision"],
            "is_deterministic": process["is_deterministic"],
            "load_before_after": ", ".join(f"{load:.2f}" for load in process["load"]),
        }
        rows += [[name, key, str(value)] for key, value in values.items()]
    columns = ("side", "what", "value")
    return Table(title="Environment", columns=columns, rows=rows, words=columns)


def findings(bench: BenchFile) -> list[str]:
    """List the notes above the tables: warnings, deviations, sides that failed, a former format."""
    failures = bench.get("failures", {}).items()
    return [
        *bench["derived"]["warnings"],
        *bench["derived"].get("deviations", ()),
        *(f"{name} does not run here: {reason}" for name, reason in failures),
        *([] if bench["format"] == FORMAT else [FORMER_INTERVALS]),
        *([] if CHECKSUM in bench else [UNSEALED]),
        *([str(bench["reissued"])] if "reissued" in bench else []),
    ]


def build_bench_report(bench: BenchFile) -> Report:
    """Build the page of a bench file."""
    run, share = bench["spec"]["run"], bench["other_processor_share"]
    return Report(
        title=f"Timing of {run['method']}, {run['model']['name']}",
        command=bench["command"],
        written=bench["started"],
        facts={
            "processes": str(len(bench["processes"])),
            "parity": bench["parity"],
            "others' share of the processors": "unknown" if share is None else f"{share:.1%}",
        },
        findings=findings(bench),
        tables=bench_tables(bench),
        pictures=[draw_rates(bench), draw_steps(bench)],
        confusions=(),
        appendix=[
            Table(
                title="Where the comparison is not fair",
                columns=("what to know",),
                rows=[[line] for line in UNFAIR],
                words=("what to know",),
            ),
            environment_table(bench),
        ],
        method=METHOD,
    )


def check_page(output: Path) -> None:
    """Refuse to write a page over other files, before anything is timed.

    Raises:
        UsageError: A file of another origin is in the way.
    """
    refuse_foreign(output, FILES, "bench", "--report")


def write_bench_report(bench: BenchFile, file: Path, output: Path) -> list[str]:
    """Write `report.html`, `report.md` and `report.json`, and return their paths."""
    check_page(output)
    report = build_bench_report(bench)
    texts = (render_html(report), render_markdown(report))
    return write_report_folder(
        output, dict(zip(FILES, texts, strict=True)), [file], bench["command"]
    )
