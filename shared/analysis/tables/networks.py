"""Tables about networks for the terminal: layers, taps, factors, blocks, sizes of objects."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from rich.table import Table


class LayerRow(TypedDict):
    """A layer: name, kind, output shape (one image), parameters, live parameters, multiply-adds."""

    name: str
    kind: str
    output_shape: list[int]
    parameters: int
    live_parameters: int
    macs: int


class NetworkSummary(TypedDict):
    """Totals and layers of a network; with `backend`, as this backend builds it."""

    model: str
    input_shape: list[int]
    num_classes: int
    total_parameters: int
    learnable_parameters: int
    trainable_parameters: int
    live_parameters: int
    weight_bytes: int
    macs: int
    layers: list[LayerRow]
    backend: NotRequired[str]


class Removal(TypedDict):
    """A measurement: the blocks that were left out, their kind, and the share of wrong answers."""

    kind: str
    removed: list[str]
    error: float
    num_images: int


class Tap(TypedDict):
    """A tap, the layer that it reads, and the shape of its output for one image."""

    name: str
    layer: str
    shape: list[int]


class TapsSummary(TypedDict):
    """The taps of a network: features that it names."""

    model: str
    input_shape: list[int]
    taps: list[Tap]


def summary_table(summary: NetworkSummary) -> Table:
    """Return a table with one line per layer, then the totals."""
    shape = "x".join(str(side) for side in summary["input_shape"])
    table = Table(title=f"{summary['model']} on {shape}", title_justify="left", box=None)
    for name in ("layer", "kind", "output shape"):
        table.add_column(name)
    for name in ("parameters", "live", "multiply-adds"):
        table.add_column(name, justify="right")
    for row in summary["layers"]:
        size = "x".join(str(side) for side in row["output_shape"])
        numbers = (row["parameters"], row["live_parameters"], row["macs"])
        table.add_row(row["name"], row["kind"], size, *(f"{number:,}" for number in numbers))
    totals = {
        "all parameters": summary["total_parameters"],
        "learnable parameters": summary["learnable_parameters"],
        "trainable parameters": summary["trainable_parameters"],
    }
    for title, total in totals.items():
        table.add_row(title, "", "", f"{total:,}", "", "")
    table.add_row("live parameters", "", "", "", f"{summary['live_parameters']:,}", "")
    table.add_row("size of the weights, bytes", "", "", f"{summary['weight_bytes']:,}", "", "")
    table.add_row("multiply-adds of an image", "", "", "", "", f"{summary['macs']:,}")
    return table


def removal_table(rows: Sequence[Removal]) -> Table:
    """Return a table with one line per measurement.

    A line has the removed blocks, the error, and its difference from the first row's error, which
    is that of the complete network.
    """
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


def factor_table(result: Mapping[str, Any]) -> Table:
    """Return a table with one line per convolution, then a line for the network."""
    title = f"Factors, {result['variant']}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    names = ("layer", "kernel", "rank", "discarded energy", "parameters", "", "multiply-adds", "")
    for name in names:
        table.add_column(name, justify="left" if name in ("layer", "kernel") else "right")
    for row in [*result["layers"], {"layer": "network", **result}]:
        kernel = "x".join(str(side) for side in row.get("kernel", ()))
        # Rank 0 means that the convolution was not factored.
        rank = str(row.get("rank") or "full") if kernel else ""
        energy = f"{row['discarded_energy']:.4f}" if kernel else ""
        costs = (
            f"{row[f'{measure}_{when}']:,}"
            for measure in ("parameters", "macs")
            for when in ("before", "after")
        )
        table.add_row(row["layer"], kernel, rank, energy, *costs)
    return table


def taps_table(summary: TapsSummary) -> Table:
    """Return a table with one line per tap."""
    size = "x".join(str(side) for side in summary["input_shape"])
    table = Table(title=f"Taps of {summary['model']} on {size}", title_justify="left", box=None)
    for name in ("tap", "layer", "shape"):
        table.add_column(name)
    for row in summary["taps"]:
        table.add_row(row["name"], row["layer"], "x".join(str(side) for side in row["shape"]))
    return table


def size_table(result: Mapping[str, Any]) -> Table:
    """Return a table of apparent sizes: the ideal, then one line per image shape."""
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
