"""Names of points: each is legible, or counted as missing."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from poc.shared.analysis.figures.drawing import drawing
from poc.shared.analysis.figures.point_names import (
    CROSSING,
    NEAR,
    NEIGHBOUR,
    PIERCING,
    STRANGER,
    WHISKER,
    NamedPoint,
    Scene,
    box_of,
    distance_of,
    write_names,
)


def write_at(
    places: list[tuple[float, float]], names: list[str] | None = None
) -> tuple[Figure, Axes, int]:
    """A plot from 0 to 1 with a name at each place; with how many have no room."""
    names = names or [f"setting {index}" for index in range(len(places))]
    points = [
        NamedPoint(name, x, y, [(y - 0.02, y, y + 0.02)])
        for name, (x, y) in zip(names, places, strict=True)
    ]
    with drawing(5.6, 3.7) as figure:
        axes = figure.subplots()
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        return figure, axes, write_names(figure, axes, points)


def boxes(figure: Figure, axes: Axes) -> list[Bbox]:
    """Measure the letters, without the lines back to the points."""
    figure.draw_without_rendering()
    return [Text.get_window_extent(text) for text in axes.texts]


@pytest.mark.parametrize("seed", range(5))
def test_no_name_covers_a_point_another_name_or_the_frame(seed: int) -> None:
    places = [tuple(place) for place in np.random.default_rng(seed).uniform(0.05, 0.95, (15, 2))]
    figure, axes, num_unnamed = write_at(places)
    found = boxes(figure, axes)
    assert len(found) == 15 - num_unnamed
    assert len(found) >= 10
    plot = axes.get_window_extent()
    points = [box_of(axes, x, y, y) for x, y in places]
    for box in found:
        assert plot.x0 <= box.x0 < box.x1 <= plot.x1
        assert plot.y0 <= box.y0 < box.y1 <= plot.y1
        assert not any(box.overlaps(point) for point in points)
    assert not any(first.overlaps(second) for first, second in combinations(found, 2))


def test_a_name_stands_right_of_its_point_and_left_of_it_at_the_right_edge() -> None:
    _, axes, num_unnamed = write_at([(0.5, 0.5), (0.98, 0.5)])
    assert num_unnamed == 0
    assert [text.get_position() for text in axes.texts] == [(8.0, 0), (-8.0, 0)]
    assert [text.get_horizontalalignment() for text in axes.texts] == ["left", "right"]


def test_a_name_that_is_far_from_its_point_has_a_line_back() -> None:
    figure, axes, num_unnamed = write_at([(0.02, 0.5)] * 6)
    assert num_unnamed == 0
    point = box_of(axes, 0.02, 0.5, 0.5)
    distances = [distance_of(box, point) * 72 / figure.dpi for box in boxes(figure, axes)]
    lines = [isinstance(text, Annotation) and text.arrow_patch is not None for text in axes.texts]
    assert lines == [distance > NEAR for distance in distances]
    assert lines[0] is False
    assert lines[-1] is True


def make_scene(*places: tuple[float, float]) -> Scene:
    """A picture of 400 by 400 pixels with points, which are 10 pixels wide, at these places."""
    points = [Bbox([[x - 5, y - 5], [x + 5, y + 5]]) for x, y in places]
    return Scene(
        plot=Bbox([[0, 0], [400, 400]]),
        scale=1.0,
        anchors=points,
        points=list(enumerate(points)),
        whiskers=[],
    )


def test_distance_costs_and_so_does_a_place_near_another_point() -> None:
    scene = make_scene((100, 100), (160, 100))
    assert scene.price(Bbox([[108, 95], [140, 105]]), 0) == 8
    assert scene.price(Bbox([[108, 95], [150, 105]]), 0) == 8 + NEIGHBOUR
    # 40 pixels from its own point, 10 from the other one.
    assert scene.price(Bbox([[140, 95], [150, 105]]), 0) == 40 + STRANGER + NEIGHBOUR
    assert scene.price(Bbox([[200, 95], [220, 105]]), 0) == 100 + STRANGER + PIERCING


def test_points_of_one_cost_are_no_strangers_to_a_name_between_them() -> None:
    scene = make_scene((100, 100), (100, 112))
    assert scene.price(Bbox([[108, 95], [140, 105]]), 0) == 8


def test_a_line_back_crosses_no_name() -> None:
    scene = make_scene((100, 100))
    far = Bbox([[150, 95], [200, 105]])
    assert scene.price(far, 0) == 50
    scene.names.append(Bbox([[120, 90], [140, 110]]))
    assert scene.price(far, 0) == 50 + CROSSING
    scene.lines.append(Path([(175, 0), (175, 400)]))
    assert scene.price(far, 0) == 50 + 2 * CROSSING
    scene.whiskers = [Bbox([[190, 0], [195, 400]])]
    assert scene.price(far, 0) == 50 + 2 * CROSSING + WHISKER


def test_the_first_names_are_kept_where_there_is_no_room_for_all() -> None:
    _, axes, num_unnamed = write_at([(0.02, 0.5)] * 40)
    shown = [text.get_text() for text in axes.texts]
    assert shown == [f"setting {index}" for index in range(len(shown))]
    assert 0 < num_unnamed == 40 - len(shown)


def test_a_long_name_is_cut_and_a_command_to_a_terminal_is_spelled_out() -> None:
    _, axes, _ = write_at([(0.02, 0.2), (0.02, 0.8)], ["a" * 99, "\x1b[31m"])
    assert [text.get_text() for text in axes.texts] == ["a" * 39 + "…", "\\x1b[31m"]
