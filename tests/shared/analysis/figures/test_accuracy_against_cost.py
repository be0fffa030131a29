"""Accuracy against cost: what is drawn where, in which colours, and what is left out."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from poc.shared.analysis.figures import accuracy_against_cost
from poc.shared.analysis.figures.accuracy_against_cost import (
    COSTS,
    SHIFT,
    describe,
    draw_accuracy_against_cost,
    draw_alone,
    find_points,
)
from poc.shared.analysis.figures.drawing import BACKEND_COLOURS, INK, LINE, PAPERS
from poc.shared.analysis.report import documents as report_page
from poc.shared.analysis.report.page import write_report
from poc.shared.analysis.runs.groups import Group
from poc.tests.shared.analysis.figures.test_drawing import (
    SVG,
    read_groups,
    read_panels,
    set_summary,
    texts,
    tick_texts,
)
from poc.tests.shared.analysis.report.test_page import make_run

MACS, SIZE = COSTS


def make_groups(root: Path, **values: Any) -> list[Group]:
    """k = 1 and 3 in both frameworks, two seeds each, with the accuracies .6 and .7, .8 and .9."""
    for k in (1, 3):
        for backend in ("tf", "torch"):
            for seed in (0, 1):
                run = make_run(root / f"{k}-{backend}-{seed}", k=k, backend=backend, seed=seed)
                accuracy = 0.5 + 0.1 * k + 0.1 * seed
                set_summary(run, test_accuracy=accuracy, **values)
                (run / "predictions.npz").unlink()
    return read_groups(root)


def find_dots(panel: ElementTree.Element) -> list[tuple[str, float, float]]:
    """(colour, x, y) of the round markers, in units of the picture."""
    dots = []
    for item in panel.iter(f"{SVG}use"):
        style = str(item.get("style"))
        colours = [colour for colour in BACKEND_COLOURS.values() if f"fill: {colour}" in style]
        x, y = float(str(item.get("x"))), float(str(item.get("y")))
        dots += [(colour, x, y) for colour in colours]
    return dots


def test_points_are_means_over_seeds_at_counted_costs(tmp_path: Path) -> None:
    """Multiply-adds are 320,000 k; the weights 906 + 1,743 k of 4 bytes."""
    groups = make_groups(tmp_path)
    found = [(p.setting, p.backend, p.cost, p.accuracy) for p in find_points(groups, MACS)]
    assert found == [
        ("k=1", "tf", 320_000, pytest.approx(0.65)),
        ("k=1", "torch", 320_000, pytest.approx(0.65)),
        ("k=3", "tf", 960_000, pytest.approx(0.85)),
        ("k=3", "torch", 960_000, pytest.approx(0.85)),
    ]
    assert [p.cost for p in find_points(groups, SIZE)] == pytest.approx([10.596] * 2 + [24.54] * 2)
    assert all(p.low < p.accuracy < p.high for p in find_points(groups, MACS))


def test_the_frameworks_of_a_setting_stand_side_by_side(tmp_path: Path) -> None:
    picture = draw_accuracy_against_cost(make_groups(tmp_path))
    assert picture is not None
    assert [mark.name for mark in picture.legend] == ["tf", "torch"]
    assert len(picture.panels) == 2
    for panel in read_panels(picture):
        colours, across, up = zip(*find_dots(panel), strict=True)
        assert list(colours) == [BACKEND_COLOURS["tf"], BACKEND_COLOURS["torch"]] * 2
        assert across[1] - across[0] == pytest.approx(2 * SHIFT)
        assert up[0] == pytest.approx(up[1])
        # Better is higher, and dearer is further right.
        assert across[2] > across[0]
        assert up[2] < up[0]
        assert [texts(panel).count(name) for name in ("k=1", "k=3")] == [1, 1]


def test_the_table_holds_every_number(tmp_path: Path) -> None:
    picture = draw_accuracy_against_cost(make_groups(tmp_path))
    assert picture is not None
    columns = list(picture.table.columns)
    assert columns == ["row", "test accuracy", "95 % interval", MACS.title, SIZE.title]
    first = picture.table.rows[0]
    assert [first[0], first[1], *first[3:]] == ["k=1 tf", "0.6500 ± 0.0707", "320,000", "10.6"]
    assert len(picture.table.rows) == 4


def test_no_picture_without_a_choice(tmp_path: Path) -> None:
    """One network in both frameworks costs the same."""
    for backend in ("tf", "torch"):
        make_run(tmp_path / backend, backend=backend)
    groups = read_groups(tmp_path)
    assert draw_accuracy_against_cost(groups) is None
    assert draw_alone(groups) == {}


def test_a_row_without_a_cost_or_a_test_is_not_drawn_but_in_the_table(tmp_path: Path) -> None:
    groups = make_groups(tmp_path)
    for run in groups[0].runs:
        run.row["macs"] = None
    for run in groups[1].runs:
        run.row["test_accuracy"] = None
    picture = draw_accuracy_against_cost(groups)
    assert picture is not None
    assert picture.panels[0].count("aria-label") == 1
    # The multiply-adds of the two that are left are equal: one panel, of the sizes.
    assert [MACS.title in panel for panel in picture.panels] == [False]
    assert len(find_dots(read_panels(picture)[0])) == 3
    assert picture.table.rows[0][3] == picture.table.rows[1][1] == "-"


def test_costs_far_apart_get_a_logarithmic_axis(tmp_path: Path) -> None:
    groups = make_groups(tmp_path)
    for group, macs in zip(groups, (10_000, 10_000, 50_000_000, 50_000_000), strict=True):
        for run in group.runs:
            run.row["macs"] = macs
    picture = draw_accuracy_against_cost(groups)
    assert picture is not None
    panel = read_panels(picture)[0]
    assert "Multiply-adds of an image, log axis" in texts(panel)
    assert {"10,000", "1M"} <= set(tick_texts(panel, "x"))
    alone = draw_alone(groups)["accuracy_against_cost_dark.svg"]
    assert "Multiply-adds of an image, log axis" in alone


@pytest.mark.parametrize("paper", PAPERS)
def test_a_picture_alone_brings_its_colours_and_its_legend(paper: str, tmp_path: Path) -> None:
    svg = draw_alone(make_groups(tmp_path))[f"accuracy_against_cost_{paper}.svg"]
    picture = ElementTree.fromstring(svg)
    assert {"tf", "torch", "95 % interval", "test accuracy", MACS.title} <= set(texts(picture))
    assert picture.get("width") == "374.4pt"
    assert picture.get("aria-label", "").endswith("mean of the frameworks: k=3 0.850; k=1 0.650.")
    assert not re.search(r"currentColor|var\(|href=\"http", svg)
    assert PAPERS[paper][INK] in svg
    assert PAPERS[paper][LINE] in svg
    assert not any(stand_in in svg for stand_in in (INK, LINE))


def test_a_picture_alone_has_the_colours_of_the_page() -> None:
    """The template names them once for a light and once for a dark reader."""
    template = Path(report_page.__file__).with_name(report_page.PAGE).read_text(encoding="utf-8")
    named = re.findall(r"--ink: (#\w+); --soft: #\w+; --line: (#\w+);", template)
    assert named == [(paper[INK], paper[LINE]) for paper in PAPERS.values()]


def test_a_report_holds_the_picture_and_its_files(tmp_path: Path) -> None:
    make_groups(tmp_path / "runs")
    written = write_report([tmp_path / "runs"], tmp_path / "report", title="", command="")["files"]
    names = {Path(path).name for path in written}
    assert {f"accuracy_against_cost_{paper}.svg" for paper in PAPERS} <= names
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "## Accuracy against cost\n\nPoints: mean test accuracy over seeds." in markdown
    assert "| k=1 tf | 0.6500 ± 0.0707 |" in markdown.split("## Accuracy against cost")[1]


def test_names_without_room_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = make_groups(tmp_path)
    assert "no room" not in describe(groups, 0)
    monkeypatch.setattr(accuracy_against_cost, "write_names", lambda *_: 1)
    picture = draw_accuracy_against_cost(groups)
    assert picture is not None
    assert "Names that found no room: 1." in picture.description


def test_one_framework_is_not_called_both(tmp_path: Path) -> None:
    groups = [group for group in make_groups(tmp_path) if group.backend == "tf"]
    assert "Both frameworks" not in describe(groups, 0)
    assert "Both frameworks" in describe(read_groups(tmp_path), 0)
