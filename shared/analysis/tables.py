"""Tables for the terminal and for files: the same columns for both backends, units in the names."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from .parity import Rung

# Column of the comparison table -> how its value is written.
COLUMNS: Mapping[str, str] = {
    "method": "{}",
    "model": "{}",
    "options": "{}",
    "backend": "{}",
    "seed": "{}",
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
    """One line a rung."""
    table = Table(title="Parity", title_justify="left", box=None, pad_edge=False)
    for name in ("rung", "tensors", "worst error", "allowed", "verdict", "worst tensor"):
        table.add_column(name, justify="right" if name in ("tensors", "worst error") else "left")
    for rung in rungs:
        table.add_row(
            rung.name,
            str(rung.num_tensors),
            f"{rung.error:.1e}",
            f"{rung.tolerance:.0e}",
            "equal" if rung.is_passed else "DIFFERENT",
            rung.worst,
        )
    return table


def summary_table(summary: Mapping[str, Any]) -> Table:
    """One line a layer, then the totals."""
    shape = "x".join(str(side) for side in summary["input_shape"])
    table = Table(title=f"{summary['model']} on {shape}", title_justify="left", box=None)
    for name in ("layer", "kind", "output shape", "parameters", "macs"):
        table.add_column(name, justify="right" if name in ("parameters", "macs") else "left")
    for row in summary["layers"]:
        size = "x".join(str(side) for side in row["output_shape"])
        table.add_row(row["name"], row["kind"], size, f"{row['parameters']:,}", f"{row['macs']:,}")
    for name in ("total_parameters", "trainable_parameters", "weight_bytes"):
        table.add_row(name, "", "", f"{summary[name]:,}", "")
    table.add_row("macs", "", "", "", f"{summary['macs']:,}")
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


def show(*tables: Table) -> None:
    """Print tables; to a file or a pipe they are never folded."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    for table in tables:
        console.print(table, highlight=False)
        console.print()
