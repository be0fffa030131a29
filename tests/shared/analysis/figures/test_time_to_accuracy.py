"""The curve of accuracy over seconds."""

from types import SimpleNamespace

from poc.shared.analysis.figures.axis_scales import linear_limits, share_limits
from poc.shared.analysis.figures.time_to_accuracy import (
    draw_time_to_accuracy,
    seconds_to_reach,
    time_curve,
)


def make_run(accuracies, seconds=2.0, seed=0):
    epochs = tuple({"val/accuracy": value, "epoch_seconds": seconds} for value in accuracies)
    return SimpleNamespace(epochs=epochs, row={"seed": seed})


def test_the_curve_is_the_best_so_far_over_summed_seconds():
    assert time_curve(make_run([0.5, 0.4, 0.7])) == [(2.0, 0.5), (4.0, 0.5), (6.0, 0.7)]


def test_the_first_time_counts():
    run = make_run([0.5, 0.7, 0.6, 0.9])
    assert seconds_to_reach(run, 0.6) == 4.0
    assert seconds_to_reach(run, 0.95) is None


def test_the_table_asks_for_what_every_run_reaches():
    groups = [
        SimpleNamespace(label="tf", backend="tf", runs=[make_run([0.5, 0.8], 1.0)]),
        SimpleNamespace(label="torch", backend="torch", runs=[make_run([0.75, 1.0], 3.0)]),
    ]
    picture = draw_time_to_accuracy(groups)
    assert "0.7840" in picture.table.title
    assert [list(row) for row in picture.table.rows] == [["tf", "0", "2.0"], ["torch", "0", "6.0"]]
    assert picture.svg.startswith("<svg")


def test_both_backends_of_a_setting_share_a_panel():
    groups = [
        SimpleNamespace(label=f"{row} {backend}", backend=backend, runs=[make_run([0.5, 0.8])] * 2)
        for row in ("k=3", "k=5")
        for backend in ("tf", "torch")
    ]
    picture = draw_time_to_accuracy(groups)
    assert len(picture.panels) == 2
    assert [picture.svg.count(f">{text}</text>") for text in ("k=3", "k=5")] == [1, 1]
    assert [mark.name for mark in picture.legend] == ["tf", "torch"]
    for panel in picture.panels:
        assert all(mark.colour in panel for mark in picture.legend)


def test_equal_accuracies_have_an_axis_of_shares():
    """A flat line once had an axis down to -0.38, and no accuracy is below 0."""
    assert share_limits(0.12, 0.12) == (-0.04, 0.62)
    assert share_limits(0.9, 0.9) == (0.4, 1.04)
    assert share_limits(0.5, 0.6) == linear_limits(0.5, 0.6)
    groups = [SimpleNamespace(label="a", backend="tf", runs=[make_run([0.12, 0.12])])]
    assert ">-0." not in draw_time_to_accuracy(groups).svg


def test_without_validation_there_is_no_picture():
    run = SimpleNamespace(epochs=({"epoch_seconds": 1.0},), row={"seed": 0})
    assert draw_time_to_accuracy([SimpleNamespace(label="a", backend="tf", runs=[run])]) is None
