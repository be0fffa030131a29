"""The pictures of a report: what their axes say and hold, and what their colours stand for."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from poc.shared.analysis.figures import bar_charts, learning_curves
from poc.shared.analysis.figures.axis_scales import label_linear, label_log, write_tick
from poc.shared.analysis.figures.bar_charts import QUANTITIES, draw_bars, draw_quantity
from poc.shared.analysis.figures.drawing import BACKEND_COLOURS, SEED_COLOURS, SHADE, Picture, fold
from poc.shared.analysis.figures.learning_curves import describe_lines, draw_curves, share_axis
from poc.shared.analysis.figures.time_to_accuracy import draw_time_to_accuracy
from poc.shared.analysis.report.page import write_report
from poc.shared.analysis.runs.groups import Group, group_runs
from poc.shared.analysis.runs.reading import read_runs
from poc.shared.analysis.statistics.intervals import Spread
from poc.shared.engine.folder.run_folder import RunFolder
from poc.tests.shared.analysis.report.test_page import make_run, read_page

SVG = "{http://www.w3.org/2000/svg}"


def set_summary(run: Path, **values: Any) -> Path:
    folder = RunFolder(run)
    folder.write_summary(folder.read_summary() | values)
    return run


def set_metrics(run: Path, lines: list[dict[str, float]]) -> Path:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text)
    return run


def read_groups(root: Path) -> list[Group]:
    return group_runs(read_runs([root])[0])


def read_panels(picture: Picture) -> list[ElementTree.Element]:
    """The panels, read as what a browser would: an SVG inside HTML has its own name space."""
    return [ElementTree.fromstring(panel) for panel in picture.panels]


def texts(panel: ElementTree.Element) -> list[str]:
    return ["".join(item.itertext()) for item in panel.iter(f"{SVG}text")]


def tick_texts(panel: ElementTree.Element, axis: str) -> list[str]:
    """The labels of one axis: x or y."""
    ticks = [g for g in panel.iter(f"{SVG}g") if g.get("id", "").startswith(f"{axis}tick_")]
    return [text for tick in ticks for text in texts(tick)]


def make_wide_study(root: Path) -> list[Group]:
    """Three rows of very different size and time, with seconds of each epoch."""
    sizes = {1: (900, 0.02), 3: (60_000, 3.0), 5: (23_000_000, 4000.0)}
    for k, (parameters, seconds) in sizes.items():
        for seed in range(2):
            run = make_run(root / f"{k}-{seed}", k=k, seed=seed)
            set_summary(
                run,
                total_parameters=parameters,
                trainable_parameters=parameters,
                weight_bytes=4 * parameters,
                total_seconds=seconds * (1 + seed),
                epoch_seconds=seconds / 10,
            )
            lines = [
                {"epoch": epoch, "val/accuracy": 0.1 * epoch, "val/loss": 1e6 * k / epoch}
                | {"epoch_seconds": 2e6 * k}
                for epoch in range(1, 6)
            ]
            set_metrics(run, lines)
    return read_groups(root)


def test_no_axis_speaks_in_powers_or_in_latex(tmp_path: Path) -> None:
    groups = make_wide_study(tmp_path)
    pictures = [draw_bars(groups, 0.25), draw_curves(groups, "loss"), draw_time_to_accuracy(groups)]
    panels = [panel for item in pictures if item for panel in read_panels(item)]
    shown = [text for panel in panels for text in texts(panel)]
    # The study has what led to them: logarithmic axes, and values above a million.
    assert sum("log axis" in text for text in shown) >= 3
    assert any(text.endswith("M") for text in shown)
    for text in shown:
        assert "$" not in text
        assert "\\" not in text
        assert not re.search(r"\d\s*[eE][+-]?\d", text), text
        assert "\N{MINUS SIGN}" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (0.1 + 0.2, "0.3"),
        (0.00001, "0.00001"),
        (950, "950"),
        (1500, "1,500"),
        (20_000, "20,000"),
        (2_500_000, "2.5M"),
        (3e9, "3,000M"),
        (-0.5, "-0.5"),
    ],
)
def test_a_tick_is_written_out(value: float, text: str) -> None:
    assert write_tick(value) == text


SECONDS = next(item for item in QUANTITIES if item.column == "total_seconds")
ACCURACY = next(item for item in QUANTITIES if item.column == "test_accuracy")


def make_bars(spreads: list[tuple[float, float]], **values: Any) -> list[Any]:
    """Stand-ins of rows whose every quantity has this mean and deviation."""
    return [
        SimpleNamespace(
            label=f"row {index}",
            backend="tf",
            interval=None,
            spread=lambda _column, item=item: Spread(*item, 3),
            **values,
        )
        for index, item in enumerate(spreads)
    ]


@pytest.mark.parametrize(
    ("spreads", "is_log"),
    [
        # Wider than the largest mean by far.
        ([(10, 0.1), (12, 30)], False),
        # On a logarithmic axis both ends leave first.
        ([(1, 0.9), (1000, 990)], True),
        # A whisker that goes below 0 has no place on a logarithmic axis.
        ([(1, 2), (1000, 10)], False),
        ([(0, 0), (0, 0)], False),
    ],
)
def test_whiskers_end_within_the_plot(spreads: list[tuple[float, float]], is_log: bool) -> None:
    axes = Figure().subplots()
    draw_quantity(axes, make_bars(spreads), SECONDS, None)
    assert (axes.get_xscale() == "log") == is_log
    low, high = axes.get_xlim()
    whiskers = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    expected = [[mean - sd, mean + sd] for mean, sd in spreads if sd]
    assert np.allclose(whiskers, expected) if expected else whiskers == []
    for ends in whiskers:
        assert low < min(ends)
        assert max(ends) < high


def test_an_accuracys_interval_is_on_an_axis_from_0_to_1() -> None:
    axes = Figure().subplots()
    bars = make_bars([(0.98, 0.01)])
    bars[0].interval = (0.93, 0.999)
    draw_quantity(axes, bars, ACCURACY, 0.2)
    assert axes.get_xlim() == (0, 1)
    assert list(axes.lines[0].get_xdata()) == [0.93, 0.999]


def test_values_stand_right_of_the_plot_and_names_above_the_bars() -> None:
    """So that neither runs into a bar, a whisker or a tick label."""
    axes = Figure().subplots()
    draw_quantity(axes, make_bars([(10, 0.1), (12, 30)]), SECONDS, None)
    values = [text for text in axes.texts if text.get_text() in ("10.0", "12.0")]
    assert [text.xy[0] for text in values] == [1, 1]
    names = [text for text in axes.texts if text.get_text().startswith("row")]
    bars = [(patch.get_y(), patch.get_y() + patch.get_height()) for patch in axes.patches]
    places = [name.get_position()[1] for name in names]
    # Down is larger: a name, its bar, the next name.
    (first, first_end), (second, second_end) = (sorted(ends) for ends in bars)
    assert -0.5 < places[0] < first < first_end < 0.5 < places[1] < second < second_end < 1.5


def test_a_long_name_is_folded_not_cut() -> None:
    """Rows that differ in their last word alone."""
    start = "l2t-ww torch channel_weights=none loss_weights=none"
    names = [f"{start} pairs=all", f"{start} pairs=one"]
    assert [fold(name)[-1].split()[-1] for name in names] == ["pairs=all", "pairs=one"]
    assert all(len(line) <= 42 for line in fold(names[0]))
    assert len(fold("word " * 200)) == 3
    assert fold("word " * 200)[-1].endswith("…")
    assert fold("") == [""]
    axes = Figure().subplots()
    bars = make_bars([(10, 0.1), (12, 0.2)])
    for bar, name in zip(bars, names, strict=True):
        bar.label = name
    draw_quantity(axes, bars, SECONDS, None)
    shown = [" ".join(text.get_text().split("\n")) for text in axes.texts]
    assert set(names) <= set(shown)


@pytest.mark.parametrize("last", [1, 2, 3, 4, 5, 8, 20, 100, 350])
def test_epochs_are_whole(last: int) -> None:
    axes = Figure().subplots()
    lines = [{"epoch": epoch} for epoch in range(1, last + 1)]
    group: Any = SimpleNamespace(runs=[SimpleNamespace(epochs=lines)])
    learning_curves.scale_epochs(axes, group)
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == round(tick) >= 1 for tick in ticks)
    assert len(ticks) <= 7


@pytest.mark.parametrize(
    ("low", "high"), [(0.1, 0.9), (3, 40), (0.2, 5e3), (900, 23e6), (1e-3, 1e7)]
)
def test_ticks_of_a_logarithmic_axis_are_some_and_few(low: float, high: float) -> None:
    axes = Figure().subplots()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    label_log(axes.xaxis)
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 2 <= len(ticks) <= 6
    assert list(axes.get_xticks(minor=True)) == []


def test_ticks_of_a_linear_axis_have_no_offset() -> None:
    axes = Figure().subplots()
    axes.set_xlim(0, 3e6)
    label_linear(axes.xaxis)
    axes.figure.draw_without_rendering()
    assert axes.xaxis.get_offset_text().get_text() == ""
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown[:3] == ["0", "0.6M", "1.2M"]


def make_distillation(root: Path) -> list[Group]:
    """A row of cross-entropy about 2, and one whose training loss is thirty times that."""
    for k, factor in ((1, 1.0), (3, 30.0)):
        run = make_run(root / str(k), k=k)
        lines = [
            {"epoch": epoch, "train/loss": 2 * factor / epoch, "val/loss": 2.2 / epoch}
            for epoch in range(1, 4)
        ]
        set_metrics(run, lines)
    return read_groups(root)


def test_a_loss_thirty_times_larger_does_not_flatten_the_others(tmp_path: Path) -> None:
    picture = draw_curves(make_distillation(tmp_path), "loss")
    assert picture is not None
    plain, distilled = read_panels(picture)
    largest = max(float(text) for text in tick_texts(plain, "y"))
    assert 2 <= largest <= 3
    # Its own validation loss is thirty times smaller than its training loss: neither is flat.
    assert "log axis" in texts(distilled)
    assert {"1", "10"} <= set(tick_texts(distilled, "y"))
    assert "with epochs of its own and an axis of its own" in picture.description


def test_a_row_of_few_epochs_fills_its_panel(tmp_path: Path) -> None:
    for k, last in ((1, 4), (3, 100)):
        make_run(tmp_path / str(k), k=k, num_epochs=last)
    picture = draw_curves(read_groups(tmp_path), "accuracy")
    assert picture is not None
    short, long = read_panels(picture)
    assert tick_texts(short, "x") == ["1", "2", "3", "4"]
    assert tick_texts(long, "x")[-1] == "100"


def test_a_first_epoch_far_above_the_others_does_not_flatten_them(tmp_path: Path) -> None:
    losses = [140.0, 4.0, 2.0, 1.5, 1.2, 1.0]
    lines = [{"epoch": epoch, "val/loss": loss} for epoch, loss in enumerate(losses, 1)]
    picture = draw_curves(read_groups(set_metrics(make_run(tmp_path / "one"), lines)), "loss")
    assert picture is not None
    assert {"1", "10", "100"} <= set(tick_texts(read_panels(picture)[0], "y"))


def test_accuracies_share_an_axis_and_so_do_losses_of_one_size(tmp_path: Path) -> None:
    for k in (1, 3):
        make_run(tmp_path / str(k), k=k, accuracy=0.3 * k)
    picture = draw_curves(read_groups(tmp_path), "accuracy")
    assert picture is not None
    first, second = read_panels(picture)
    assert tick_texts(first, "y") == tick_texts(second, "y") != []
    assert "one axis for all" in picture.description
    assert share_axis([([2.0], [1.0]), ([4.0], [3.9])])
    assert not share_axis([([2.0], [1.0]), ([60.0], [3.9])])


def test_no_colour_means_two_things(tmp_path: Path) -> None:
    for colour in (*SEED_COLOURS, SHADE):
        for known in BACKEND_COLOURS.values():
            assert np.linalg.norm(np.subtract(to_rgb(colour), to_rgb(known))) > 0.3, colour
    for seed in range(3):
        make_run(tmp_path / str(seed), seed=seed)
    picture = draw_curves(read_groups(tmp_path), "accuracy")
    assert picture is not None
    assert not any(colour in picture.svg for colour in BACKEND_COLOURS.values())
    assert [mark.name for mark in picture.legend] == ["seed 0", "seed 1", "seed 2"]
    assert all(mark.colour in picture.svg for mark in picture.legend)


def test_a_seed_has_one_colour_in_all_panels(tmp_path: Path) -> None:
    """The second row lacks seed 0."""
    for k, seeds in ((1, (0, 1)), (3, (1,))):
        for seed in seeds:
            make_run(tmp_path / f"{k}-{seed}", k=k, seed=seed)
    picture = draw_curves(read_groups(tmp_path), "accuracy")
    assert picture is not None
    assert SEED_COLOURS[1] in picture.panels[1]
    assert SEED_COLOURS[0] not in picture.panels[1]


@pytest.mark.parametrize("backends", [["torch"], ["tf"], ["tf", "torch"]])
def test_the_legend_names_the_frameworks_that_are_there(
    backends: list[str], tmp_path: Path
) -> None:
    for backend in backends:
        run = make_run(tmp_path / "runs" / backend, backend=backend)
        set_metrics(run, [{"epoch": 1, "val/accuracy": 0.5, "epoch_seconds": 1.0}])
    groups = read_groups(tmp_path / "runs")
    for picture in (draw_bars(groups, None), draw_time_to_accuracy(groups)):
        assert picture is not None
        assert [mark.name for mark in picture.legend] == backends
    write_report([tmp_path / "runs"], tmp_path / "report", title="", command="")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for name, colour in BACKEND_COLOURS.items():
        assert (f'style="background:{colour}"' in page) == (name in backends)


def test_a_picture_says_its_width_so_that_letters_keep_their_size(tmp_path: Path) -> None:
    """One run: the smallest pictures, which the page once drew as wide as the largest."""
    set_metrics(
        make_run(tmp_path / "runs" / "one"),
        [{"epoch": 1, "val/accuracy": 0.5, "val/loss": 1.0, "epoch_seconds": 1.0}],
    )
    write_report([tmp_path / "runs"], tmp_path / "report", title="", command="")
    page = read_page(tmp_path / "report" / "report.html")
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == 9
    for picture in pictures:
        width = float(str(picture["viewbox"]).split()[2])
        assert picture["style"] == f"--units: {width:.0f}"
    source = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "width: calc(var(--units) * 1.3px); max-width: 100%" in source
    assert "min-width: calc(var(--units) * 1px)" in source


def draw_titles(groups: list[Group]) -> list[str]:
    picture = draw_bars(groups, None)
    titles = {quantity.title for quantity in QUANTITIES}
    if picture is None:
        return []
    return [text for panel in read_panels(picture) for text in texts(panel) if text in titles]


def test_quantities_that_are_equal_or_missing_in_all_rows_are_no_panel(tmp_path: Path) -> None:
    for k, seeds in ((1, (0,)), (3, (0, 1))):
        for seed in seeds:
            make_run(tmp_path / f"{k}-{seed}", k=k, seed=seed, accuracy=0.2 * k)
    groups = read_groups(tmp_path)
    assert draw_titles(groups) == [quantity.title for quantity in QUANTITIES]
    runs = [run for group in groups for run in group.runs]
    for run in runs:
        run.row.update(total_parameters=5, total_seconds=2.0, epoch_seconds=None)
    assert draw_titles(groups) == [
        "Test accuracy", "Trainable parameters", "Size of the weights, kB"
    ]  # fmt: skip
    picture = draw_bars(groups, None)
    assert picture is not None
    assert "so not drawn: Total time, s (2.0); Parameters (5)." in picture.description
    for run in runs:
        run.row["test_accuracy"] = None
    assert "Test accuracy" not in draw_titles(groups)


def test_one_row_has_nothing_beside_it(tmp_path: Path) -> None:
    groups = read_groups(make_run(tmp_path / "one"))
    assert draw_titles(groups) == ["Test accuracy"]
    picture = draw_bars(groups, 0.25)
    assert picture is not None
    assert picture.title == "Test accuracy"
    groups[0].runs[0].row["test_accuracy"] = None
    assert draw_bars(groups, 0.25) is None


def test_the_baseline_runs_through_no_name() -> None:
    axes = Figure().subplots()
    draw_quantity(axes, make_bars([(0.5, 0.1), (0.6, 0.1)]), ACCURACY, 0.2)
    lines = [line for line in axes.lines if list(line.get_xdata()) == [0.2, 0.2]]
    names = [text.get_position()[1] for text in axes.texts if text.get_text().startswith("row")]
    assert len(lines) == len(names) == 2
    for line, name in zip(lines, names, strict=True):
        assert min(line.get_ydata()) > name
        assert max(line.get_ydata()) < name + 1


def test_a_row_without_a_value_says_so() -> None:
    axes = Figure().subplots()
    groups = make_bars([(1.0, 0.0), (2.0, 0.0)])
    groups[1].spread = lambda _column: None
    draw_quantity(axes, groups, SECONDS, None)
    assert [text.get_text() for text in axes.texts] == ["row 0", "1.0", "row 1", "-"]
    assert bar_charts.measure(groups[1], SECONDS) is None


def test_only_lines_that_are_drawn_are_explained():
    both = describe_lines(([0.1], [0.2]))
    assert both.startswith(
        "Solid: validation; dashed: training; one colour per seed; dot: the epoch"
    )
    assert describe_lines(([0.1], [])) == "Dashed: training; one colour per seed."
