"""Weights of pairs of layers, epoch by epoch (l2t-ww, semckd), and of channels (l2t-ww)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.runs.reading import Run
from poc.shared.analysis.tables.table import Table
from poc.shared.engine.console.output import plain
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays

from .axis_scales import label_linear
from .drawing import SEED_COLOURS, Picture, drawing, make_shades, shorten, to_svg

PAIR_WEIGHT = "train/pair_weight/"
CHANNEL_WEIGHT = "channel_weight/"
NUM_BINS = 40
# Inches; a phone shows this width without scrolling.
WIDTH = 4.9


def draw_learned_weights(groups: Sequence[Group]) -> list[Picture]:
    """Draw both pictures for every row that has learned such weights."""
    pictures = [draw(group) for group in groups for draw in (draw_pair_weights, draw_channels)]
    return [picture for picture in pictures if picture]


def draw_pair_weights(group: Group) -> Picture | None:
    """Draw the mean weight of each pair over training images and seeds, by epoch."""
    names = [key for key in group.runs[0].epochs[0] if key.startswith(PAIR_WEIGHT)]
    if not names:
        return None
    weights = mean_pair_weights(group.runs, names)
    pairs = [name.removeprefix(PAIR_WEIGHT) for name in names]
    description = f"Mean weight of each pair by epoch, {plain(group.label)}."
    with drawing(WIDTH, max(0.9 + 0.2 * len(pairs), 1.9)) as figure:
        axes = figure.subplots()
        edges = np.arange(len(weights) + 1) + 0.5, np.arange(len(pairs) + 1)
        mesh = axes.pcolormesh(*edges, weights.T[::-1], cmap=make_shades(), vmin=0)
        axes.set_yticks(np.arange(len(pairs)) + 0.5, [shorten(p, 30) for p in pairs[::-1]])
        label_linear(axes.xaxis, is_whole=True)
        axes.set_xlabel("epoch")
        axes.tick_params(length=0)
        bar = figure.colorbar(mesh, ax=axes, label="mean pair weight", fraction=0.06)
        label_linear(bar.ax.yaxis)
        svg = to_svg(figure, description)
    rows = [
        [pair, *(f"{values[epoch]:.4f}" for epoch in (0, len(values) // 2, -1))]
        for pair, values in zip(pairs, weights.T, strict=True)
    ]
    table = Table(
        title="Numbers of the pair weights",
        columns=["source > target", "first epoch", "middle epoch", "last epoch"],
        rows=rows,
        words=["source > target"],
    )
    title = f"Pair weights: {group.label}"
    return Picture(title=title, panels=[svg], description=description, table=table)


def mean_pair_weights(runs: Sequence[Run], names: Sequence[str]) -> NDArray[np.float64]:
    """Return the runs' mean weights (num_epochs, num_pairs), with the shortest run's epochs."""
    num_epochs = min(len(run.epochs) for run in runs)
    values = [
        [[line[name] for name in names] for line in run.epochs[:num_epochs]]
        for run in runs
        if all(name in run.epochs[0] for name in names)
    ]
    mean: NDArray[np.float64] = np.asarray(values, dtype=np.float64).mean(axis=0)
    return mean


def draw_channels(group: Group) -> Picture | None:
    """Draw a histogram of the channel weights of the last epoch; 1 is an equal share."""
    found = [shares for run in group.runs if (shares := read_channel_weights(run))]
    if not found:
        return None
    pairs = list(found[0])
    relative = {
        pair: np.concatenate([shares[pair] * len(shares[pair]) for shares in found])
        for pair in pairs
    }
    sources = list(dict.fromkeys(pair.partition(">")[0] for pair in pairs))
    description = f"Channel weights of the last epoch, 1 = an equal share, {plain(group.label)}."
    largest = max(float(values.max()) for values in relative.values())
    edges = np.linspace(0, max(largest, 1.1), NUM_BINS + 1)
    with drawing(WIDTH, 2.6) as figure:
        axes = figure.subplots()
        for index, source in enumerate(sources):
            own = [values for pair, values in relative.items() if pair.startswith(f"{source}>")]
            counts, _ = np.histogram(np.concatenate(own), edges)
            colour = SEED_COLOURS[index % len(SEED_COLOURS)]
            axes.stairs(counts, edges, color=colour, label=shorten(source, 30))
        axes.set(xlabel="weight times number of channels", ylabel="channels")
        label_linear(axes.xaxis)
        label_linear(axes.yaxis, is_whole=True)
        axes.legend(fontsize="small")
        svg = to_svg(figure, description)
    rows = [
        [pair, str(len(values)), *(f"{np.quantile(values, q):.4f}" for q in (0, 0.5, 1))]
        for pair, values in relative.items()
    ]
    columns = ["source > target", "channels", "least", "median", "largest"]
    table = Table(
        title="Numbers of the channel weights",
        columns=columns,
        rows=rows,
        note="Times the number of channels, over all seeds.",
        words=columns[:1],
    )
    title = f"Channel weights: {group.label}"
    return Picture(title=title, panels=[svg], description=description, table=table)


def read_channel_weights(run: Run) -> Arrays:
    """Read the mean weights of channels over the last epoch.

    Returns:
        Pair -> weight of each channel, (C,); empty if the run has none or no checkpoint.
    """
    pairs = [key.removeprefix(PAIR_WEIGHT) for key in run.epochs[-1] if key.startswith(PAIR_WEIGHT)]
    try:
        checkpoint = RunFolder(Path(run.name)).read_checkpoint() if pairs else None
    except UsageError:
        return {}
    state = checkpoint.trainer_state if checkpoint else {}
    return {p: state[CHANNEL_WEIGHT + p] for p in pairs if CHANNEL_WEIGHT + p in state}
