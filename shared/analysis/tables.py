"""Tables for the terminal and for files: the same columns for both backends, units in the names."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import click
from rich.table import Table

from poc.shared.engine.output import plain
from poc.shared.engine.terminal import open_output
from poc.shared.spec.cell_names import label_settings

from .figures import Table as WrittenTable
from .groups import list_threads
from .rungs import Rung

# Column of the comparison table -> how its value is written.
COLUMNS: Mapping[str, str] = {
    "method": "{}",
    "model": "{}",
    "options": "{}",
    "backend": "{}",
    "seed": "{}",
    "threads": "{}",
    "total_parameters": "{:,}",
    "trainable_parameters": "{:,}",
    "parameters_beside": "{:,}",
    "weight_bytes": "{:,}",
    "macs": "{:,}",
    "test_accuracy": "{:.4f}",
    "test_accuracy_low": "{:.4f}",
    "test_accuracy_high": "{:.4f}",
    "test_top5_accuracy": "{:.4f}",
    "test_balanced_accuracy": "{:.4f}",
    "test_loss": "{:.4f}",
    "best_val_accuracy": "{:.4f}",
    "train_loss": "{:.4f}",
    "num_epochs": "{}",
    "best_epoch": "{}",
    "peak_memory_bytes": "{:,}",
}
TIMES: Mapping[str, str] = {
    "import_seconds": "{:.2f}",
    "build_seconds": "{:.3f}",
    "first_step_seconds": "{:.3f}",
    "epoch_seconds": "{:.3f}",
    "eval_seconds": "{:.3f}",
    "total_seconds": "{:.2f}",
    "images_per_second": "{:,.0f}",
}

EXPORT_FIGURES: Mapping[str, str] = {
    "total_parameters": "{:,}",
    "weight_bytes": "{:,}",
    "safetensors_bytes": "{:,}",
    "exported_parameters": "{:,}",
    "exported_macs": "{:,}",
    "file_bytes": "{:,}",
    "logit_error": "{:.1e}",
    "trained_accuracy": "{:.4f}",
    "exported_accuracy": "{:.4f}",
    "latency_1_seconds": "{:.6f}",
    "latency_64_seconds": "{:.6f}",
    "runtime": "{}",
}

# Columns of a sweep's table that are means over seeds.
SWEEP_COLUMNS: Mapping[str, str] = {
    "test_accuracy": "{:.4f}",
    "test_loss": "{:.4f}",
    "best_val_accuracy": "{:.4f}",
    "epoch_seconds": "{:.2f}",
    "total_seconds": "{:.1f}",
}


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One column a run, one line a metric."""
    return transposed("Comparison", rows, COLUMNS)


def timing_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Where the seconds went; of two runs also the ratio of the first to the second."""
    if len(rows) != 2:
        return transposed("Timing", rows, TIMES)
    first, second = rows
    ratios = {name: f"{first[name] / second[name]:.2f}" for name in TIMES}
    ratio = {**ratios, "backend": f"{first['backend']} / {second['backend']}"}
    return transposed("Timing", [first, second, ratio], TIMES)


def transposed(title: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """A table with one column a row, for a terminal that is higher than wide."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for row in rows:
        table.add_column(str(row["backend"]), justify="right")
    for name, form in columns.items():
        if any(name in row for row in rows):
            table.add_row(name, *(written(row.get(name), form) for row in rows))
    return table


def written(value: Any, form: str) -> str:
    """A value as a cell; a missing one is a dash."""
    if value is None or isinstance(value, str):
        return value or "-"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items()) or "-"
    return form.format(value)


def parity_table(rungs: Sequence[Rung]) -> Table:
    """One line a rung; `itself`: how far one backend is from itself by rounding alone."""
    table = Table(title="Parity", title_justify="left", box=None, pad_edge=False)
    numbers = ("tensors", "worst error", "itself")
    for name in ("rung", "tensors", "worst error", "itself", "allowed", "verdict", "worst tensor"):
        table.add_column(name, justify="right" if name in numbers else "left")
    for rung in rungs:
        own = rung.self_difference
        table.add_row(
            rung.name,
            str(rung.num_tensors),
            f"{rung.error:.1e}",
            "" if own is None else f"{own:.1e}",
            f"{rung.tolerance:.0e}",
            rung.verdict,
            rung.worst,
        )
    return table


def rung_notes(rungs: Sequence[Rung]) -> list[str]:
    """What was changed for some steps, once each."""
    notes = [f"{rung.name.rpartition(': ')[0]}: {note}." for rung in rungs for note in rung.notes]
    return list(dict.fromkeys(notes))


def sweep_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a combination of settings: mean ± standard deviation over its seeds."""
    table = Table(title="Sweep, mean ± sd over seeds", title_justify="left", box=None)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row, name in zip(rows, label_settings([row["settings"] for row in rows]), strict=True):
        groups.setdefault(name or "the one cell", []).append(row)
    for name in ("settings", "runs", "threads", "parameters", *SWEEP_COLUMNS, "failed"):
        table.add_column(name, justify="left" if name in ("settings", "failed") else "right")
    for name, members in groups.items():
        done = [row for row in members if row["status"] == "finished"]
        failures = [f"seed {row['seed']}: {row['failure']}" for row in members if row not in done]
        values = (
            spread([row[column] for row in done if row.get(column) is not None], form)
            for column, form in SWEEP_COLUMNS.items()
        )
        parameters = f"{done[0]['total_parameters']:,}" if done else "-"
        counts = (f"{len(done)}", list_threads(done), parameters)
        table.add_row(name, *counts, *values, "; ".join(failures) or "-")
    return table


def spread(values: Sequence[float], form: str) -> str:
    """`mean ± sd`; of one value the value, of none a dash."""
    if not values:
        return "-"
    mean = form.format(fmean(values))
    return f"{mean} ± {form.format(stdev(values))}" if len(values) > 1 else mean


def summary_table(summary: Mapping[str, Any]) -> Table:
    """One line a layer, then the totals."""
    shape = "x".join(str(side) for side in summary["input_shape"])
    table = Table(title=f"{summary['model']} on {shape}", title_justify="left", box=None)
    for name in ("layer", "kind", "output shape"):
        table.add_column(name)
    for name in ("parameters", "live", "macs"):
        table.add_column(name, justify="right")
    for row in summary["layers"]:
        size = "x".join(str(side) for side in row["output_shape"])
        numbers = (f"{row[name]:,}" for name in ("parameters", "live_parameters", "macs"))
        table.add_row(row["name"], row["kind"], size, *numbers)
    for name in ("total_parameters", "learnable_parameters", "trainable_parameters"):
        table.add_row(name, "", "", f"{summary[name]:,}", "", "")
    table.add_row("live_parameters", "", "", "", f"{summary['live_parameters']:,}", "")
    table.add_row("weight_bytes", "", "", f"{summary['weight_bytes']:,}", "", "")
    table.add_row("macs", "", "", "", "", f"{summary['macs']:,}")
    return table


def plain_table(table: WrittenTable) -> Table:
    """A report's table for the terminal."""
    shown = Table(title=table.title, title_justify="left", box=None, pad_edge=False)
    for column in table.columns:
        is_word = column in table.words or column == table.columns[0]
        shown.add_column(column, justify="left" if is_word else "right")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def print_headline(sentences: Sequence[str], rivals: Sequence[Mapping[str, str]]) -> None:
    """The headline of a report: its sentences, then the best row against each other one."""
    for sentence in sentences:
        click.echo(plain(sentence))
    if len(rivals) > 1:
        columns = list(rivals[0])
        rows = [[plain(cell) for cell in rival.values()] for rival in rivals]
        click.echo()
        show(plain_table(WrittenTable(title="", columns=columns, rows=rows, words=columns)))
    elif sentences:
        click.echo()


def removal_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a measurement: what was left out, the error, and what it adds to the full net's."""
    table = Table(title="Blocks left out", title_justify="left", box=None, pad_edge=False)
    for name in ("kind", "removed"):
        table.add_column(name)
    for name in ("error", "change"):
        table.add_column(name, justify="right")
    for row in rows:
        change = row["error"] - rows[0]["error"]
        names = ", ".join(row["removed"]) or "-"
        table.add_row(row["kind"], names, f"{row['error']:.4f}", f"{change:+.4f}")
    return table


def export_table(row: Mapping[str, Any]) -> Table:
    """One line a figure of an exported file."""
    title = f"Export: {row['format']}, {row['precision']}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("", justify="right")
    for name, form in EXPORT_FIGURES.items():
        table.add_row(name, form.format(row[name]))
    return table


def factor_table(result: Mapping[str, Any]) -> Table:
    """One line a convolution, then the network."""
    title = f"Factors, {result['variant']}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    names = ("layer", "kernel", "rank", "discarded energy", "parameters", "", "macs", "")
    for name in names:
        table.add_column(name, justify="left" if name in ("layer", "kernel") else "right")
    for row in [*result["layers"], {"layer": "network", **result}]:
        kernel = "x".join(str(side) for side in row.get("kernel", ()))
        rank = str(row.get("rank") or "whole") if kernel else ""
        energy = f"{row['discarded_energy']:.4f}" if kernel else ""
        costs = (
            f"{row[f'{measure}_{when}']:,}"
            for measure in ("parameters", "macs")
            for when in ("before", "after")
        )
        table.add_row(row["layer"], kernel, rank, energy, *costs)
    return table


def taps_table(summary: Mapping[str, Any]) -> Table:
    """One line a tap."""
    size = "x".join(str(side) for side in summary["input_shape"])
    table = Table(title=f"Taps of {summary['model']} on {size}", title_justify="left", box=None)
    for name in ("tap", "layer", "shape"):
        table.add_column(name)
    for row in summary["taps"]:
        table.add_row(row["name"], row["layer"], "x".join(str(side) for side in row["shape"]))
    return table


def size_table(result: Mapping[str, Any]) -> Table:
    """Apparent sizes: the ideal, then one line an image shape."""
    train, test = result["train_size"], result["test_size"]
    title = (
        f"Size of objects, test at {test} over training at {train} (test images resized to "
        f"{result['resized']}, rule {result['rule']}; last map {result['train_grid']} -> "
        f"{result['test_grid']} of side; equal size from test {result['matching_test_size']})"
    )
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("image, width x height", "side share of training's crop", "size ratio"):
        table.add_column(name, justify="left" if name.startswith("image") else "right")
    table.add_row("ideal", f"{result['ideal_crop_share']:.4f}", f"{result['ideal_ratio']:.3f}")
    for row in result["measured"]:
        shape = f"{row['width']} x {row['height']}"
        table.add_row(shape, f"{row['crop_share']:.3f}", f"{row['ratio']:.3f}")
    return table


def show(*tables: Table) -> None:
    """Print tables; to a file or a pipe they are never folded."""
    terminal = open_output()
    for table in tables:
        terminal.print(table)
        terminal.print()
