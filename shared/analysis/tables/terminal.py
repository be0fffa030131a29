"""Tables for the terminal and for files: the same columns for both backends, units in the names."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

import click
from rich.table import Table

from poc.shared.analysis.runs.groups import list_threads
from poc.shared.engine.console.output import plain
from poc.shared.engine.console.terminal import open_output
from poc.shared.engine.export.runtimes import TOLERANCE
from poc.shared.engine.numerics.metrics import SHARES
from poc.shared.spec.reading.cell_names import label_settings

from .table import Table as WrittenTable

# A run's values by the keys of its summary.
Row = Mapping[str, Any]


class Line(NamedTuple):
    """A line or column of a table: its title, and the format and scale of its values."""

    title: str
    form: str = "{}"
    scale: float = 1.0


INTERVAL = "test_interval"
# Not "best": if no epoch is chosen, an earlier one than the kept one may have been higher.
KEPT_EPOCH = "validation accuracy, kept epoch"
# Key of a summary -> its line in the comparison. JSON and CSV use the keys themselves.
COLUMNS: Mapping[str, Line] = {
    "method": Line("method"),
    "model": Line("model"),
    "options": Line("options"),
    "chosen": Line("chosen"),
    "chosen_by": Line("chosen by"),
    "seed": Line("seed"),
    "threads": Line("threads"),
    "total_parameters": Line("parameters", "{:,}"),
    "trainable_parameters": Line("trainable parameters", "{:,}"),
    "lora": Line("LoRA"),
    "lora_parameters": Line("parameters of LoRA", "{:,}"),
    "trained_share": Line("trained share of all parameters", "{:.2%}"),
    "parameters_beside": Line("parameters outside the model", "{:,}"),
    "weight_bytes": Line("size of the weights, kB", "{:,.1f}", 1e-3),
    "macs": Line("multiply-adds of an image", "{:,}"),
    "test_accuracy": Line("test accuracy", "{:.4f}"),
    INTERVAL: Line("95 % interval, these test images alone"),
    **{f"test_{name}": Line(title, "{:.4f}") for name, title in SHARES.items()},
    # These exist only for two classes.
    "positive_class": Line("positive class"),
    "sensitivity": Line("sensitivity"),
    "specificity": Line("specificity"),
    "test_area_under_roc": Line("area under ROC", "{:.4f}"),
    "test_loss": Line("test loss", "{:.4f}"),
    "test_expected_calibration_error": Line("expected calibration error", "{:.4f}"),
    "best_val_accuracy": Line(KEPT_EPOCH, "{:.4f}"),
    "train_loss": Line("training loss", "{:.4f}"),
    "num_epochs": Line("epochs"),
    "best_epoch": Line("kept epoch"),
    "peak_memory_bytes": Line("peak memory, MB", "{:,.0f}", 1e-6),
}
TIMES: Mapping[str, Line] = {
    "import_seconds": Line("import, s", "{:.2f}"),
    "build_seconds": Line("model build, s", "{:.3f}"),
    "first_step_seconds": Line("first step, s", "{:.3f}"),
    "epoch_seconds": Line("training epoch, s", "{:.3f}"),
    "eval_seconds": Line("evaluation, s", "{:.3f}"),
    "total_seconds": Line("total, s", "{:.2f}"),
    "images_per_second": Line("training images per second", "{:,.0f}"),
    "kept_images_per_second": Line("kept features per second", "{:,.0f}"),
    "other_processor_share": Line("used by other programs", "{:.0%}"),
}

EXPORT_FIGURES: Mapping[str, Line] = {
    "total_parameters": Line("parameters as trained", "{:,}"),
    "weight_bytes": Line("weights as trained, kB", "{:,.1f}", 1e-3),
    "safetensors_bytes": Line("safetensors file, kB", "{:,.1f}", 1e-3),
    "exported_parameters": Line("parameters of the file", "{:,}"),
    "exported_macs": Line("multiply-adds of the file", "{:,}"),
    "file_bytes": Line("file, kB", "{:,.1f}", 1e-3),
    "logit_error": Line("logit error", "{:.1e}"),
    "probability_error": Line("probability error", "{:.1e}"),
    "num_changed": Line("other labels"),
    "trained_accuracy": Line("accuracy as trained", "{:.4f}"),
    "exported_accuracy": Line("accuracy of the file", "{:.4f}"),
    "latency_1_seconds": Line("1 image, ms", "{:.3f}", 1e3),
    "latency_64_seconds": Line("64 images, ms", "{:.2f}", 1e3),
    "runtime": Line("runtime"),
}

# The columns of a sweep's table that are means over seeds.
SWEEP_COLUMNS: Mapping[str, Line] = {
    "test_accuracy": Line("test accuracy", "{:.4f}"),
    "test_loss": Line("test loss", "{:.4f}"),
    "best_val_accuracy": Line(KEPT_EPOCH, "{:.4f}"),
    "epoch_seconds": Line("per epoch, s", "{:.2f}"),
    "total_seconds": Line("total, s", "{:.1f}"),
}


def comparison_table(rows: Sequence[Mapping[str, object]]) -> Table:
    """Return the comparison: one column per run, one line per metric."""
    shown = [{**row, **write_interval(row), **write_rates(row)} for row in rows]
    return transposed("Comparison", shown, COLUMNS)


def write_interval(row: Mapping[str, object]) -> dict[str, str]:
    """Return the interval of a run's accuracy as one entry; empty if the run has none."""
    low, high = row.get("test_accuracy_low"), row.get("test_accuracy_high")
    known = low is not None and high is not None
    return {INTERVAL: f"{low:.3f} to {high:.3f}"} if known else {}


def write_rates(row: Mapping[str, object]) -> dict[str, str]:
    """Return sensitivity and specificity with their intervals; empty unless of two classes."""
    found = {}
    for name in ("sensitivity", "specificity"):
        value, low, high = (row.get(f"test_{name}{end}") for end in ("", "_low", "_high"))
        if f"test_{name}" in row:
            found[name] = "-" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
    return found


def timing_table(rows: Sequence[Row]) -> Table:
    """Return the table of times; for two runs also the ratio of the first to the second."""
    if len(rows) != 2:
        return transposed("Timing", rows, TIMES)
    first, second = rows
    ratios = {name: f"{first[name] / second[name]:.2f}" for name in shared_times(first, second)}
    ratio = {**ratios, "backend": f"{first['backend']} / {second['backend']}"}
    return transposed("Timing", [first, second, ratio], TIMES)


def shared_times(*rows: Mapping[str, object]) -> list[str]:
    """List the times and rates that all rows have.

    The share that other programs used is a condition of a run, not a cost, so it gets no ratio.
    """
    names = [name for name in TIMES if name != "other_processor_share"]
    return [name for name in names if all(row.get(name) for row in rows)]


def transposed(
    title: str, rows: Sequence[Mapping[str, object]], lines: Mapping[str, Line]
) -> Table:
    """Return a table with one column per run: there are more metrics than runs."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for row in rows:
        table.add_column(str(row["backend"]), justify="right")
    for name, line in lines.items():
        if any(name in row for row in rows):
            table.add_row(line.title, *(written(row.get(name), line) for row in rows))
    return table


def written(value: Any, line: Line) -> str:
    """Format a value as a cell; a missing value is a dash."""
    if value is None or isinstance(value, str):
        return value or "-"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items()) or "-"
    return line.form.format(value if line.scale == 1 else value * line.scale)


def sweep_table(rows: Sequence[Row], labels: Mapping[str, str] | None = None) -> Table:
    """Return a table with one line per combination of settings: mean ± sd over its seeds.

    Args:
        rows: One per cell of the sweep.
        labels: Cell -> the name of its row in a headline; cells that failed have no entry.
    """
    table = Table(title="Sweep, mean ± sd over seeds", title_justify="left", box=None)
    titles = [line.title for line in SWEEP_COLUMNS.values()]
    for name in ("settings", "runs", "threads", "parameters", *titles, "failed"):
        table.add_column(name, justify="left" if name in ("settings", "failed") else "right")
    for name, members in group_cells(rows, labels or {}):
        done = [row for row in members if row["status"] == "finished"]
        failures = [f"seed {row['seed']}: {row['failure']}" for row in members if row not in done]
        values = (
            spread([row[column] for row in done if row.get(column) is not None], line.form)
            for column, line in SWEEP_COLUMNS.items()
        )
        parameters = f"{done[0]['total_parameters']:,}" if done else "-"
        counts = (f"{len(done)}", list_threads(done), parameters)
        table.add_row(name, *counts, *values, "; ".join(failures) or "-")
    return table


def group_cells(rows: Sequence[Row], labels: Mapping[str, str]) -> list[tuple[str, list[Row]]]:
    """Group cells that differ only in the seed, under their label or, without one, settings."""
    groups: dict[str, list[Row]] = {}
    for row, name in zip(rows, label_settings([row["settings"] for row in rows]), strict=True):
        groups.setdefault(name, []).append(row)
    named = []
    for name, members in groups.items():
        told = [labels[row["cell"]] for row in members if row.get("cell") in labels]
        named.append((told[0] if told else name or "the one cell", members))
    return named


def spread(values: Sequence[float], form: str) -> str:
    """Return `mean ± sd`; one value alone without sd; a dash if there are no values."""
    if not values:
        return "-"
    mean = form.format(fmean(values))
    return f"{mean} ± {form.format(stdev(values))}" if len(values) > 1 else mean


def plain_table(table: WrittenTable) -> Table:
    """Convert a report's table for the terminal."""
    shown = Table(title=plain(table.title), title_justify="left", box=None, pad_edge=False)
    for column in table.columns:
        is_word = column in table.words or column == table.columns[0]
        shown.add_column(column, justify="left" if is_word else "right")
    for row in table.rows:
        shown.add_row(*map(plain, row))
    return shown


def print_headline(sentences: Sequence[str], rivals: WrittenTable | None) -> None:
    """Print the headline of a report: its sentences, then the best row against each other row."""
    for sentence in sentences:
        click.echo(plain(sentence))
    if rivals and len(rivals.rows) > 1:
        click.echo()
        show(plain_table(rivals))
    elif sentences:
        click.echo()


def export_table(row: Mapping[str, object]) -> Table:
    """Return a table with one line per figure of an exported file."""
    title = f"Export: {row['format']}, {row['precision']}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("", justify="right")
    for name, line in EXPORT_FIGURES.items():
        table.add_row(line.title, written(row[name], line))
    return table


def describe_export(row: Row) -> str:
    """Write the sentences below the table of an export."""
    return describe_error(row) + describe_duties(row)


def describe_duties(row: Row) -> str:
    """Say how the decision of the run, if it has one, is applied to the logits of the file."""
    decision = row["decision"]
    if decision is None:
        return ""
    rule = ""
    if threshold := decision["threshold"]:
        rule = (
            f", and {threshold['positive']!r} from a probability of "
            f"{threshold['probability']:.4f} on"
        )
    elif rejection := decision.get("rejection"):
        rule = f", and no answer below a probability of {rejection['probability']:.4f}"
    return (
        " The file gives logits, and says how the run decides: a temperature of "
        f"{decision['temperature']:.4f}{rule}. `poc predict` and the script next to it do so."
    )


def describe_error(row: Row) -> str:
    """Say how far the file's answers are from those of the trained network."""
    if row["precision"] == "float32":
        return (
            f"Checked by running it on {row['num_images']} {describe_source(row)}: every label is "
            f"the run's, and logits differ by at most {row['logit_error']:.1e} of the largest "
            f"(bound {TOLERANCE:.0e})."
        )
    change = row["exported_accuracy"] - row["trained_accuracy"]
    return (
        f"Logits differ by up to {row['logit_error']:.1e} of the largest. Of {row['num_images']} "
        f"{describe_source(row)} {row['num_changed']} get another label: {row['num_lost']} right "
        f"answers are lost and {row['num_gained']} gained, and the accuracy "
        f"{row['trained_accuracy']:.4f} becomes {row['exported_accuracy']:.4f} ({change:+.4f})."
    )


def describe_source(row: Mapping[str, object]) -> str:
    """Say what the file was checked with."""
    return "image files" if row["is_from_files"] else "images"


def show(*tables: Table) -> None:
    """Print tables; lines that go to a file or a pipe are never wrapped."""
    terminal = open_output()
    for table in tables:
        terminal.print(table)
        terminal.print()
