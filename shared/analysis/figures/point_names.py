"""Names next to the points of a picture, placed so that each can be read.

The points come in order of importance. Each name takes the place with the lowest price around its
point. Distance costs, and so does whatever makes a reader take the name for that of another point.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from .drawing import INK, LINE, POINTS_PER_INCH, shorten

FONT_SIZE = 8
MAX_LETTERS = 40
# In points of 1/72 inch: the gap from a point to its name, the step to the next place above or
# below, and the space that a point keeps free on each side.
GAP, STEP, RADIUS = 8.0, 5.0, 5.0
NUM_STEPS = 24
# The side of the letters that is at the point -> how far away it is; the share of the letters that
# is left of it. The nearest places come first.
SIDES = {"left": GAP, "right": -GAP, "center": 0.0}
STARTS = {"left": 0.0, "right": 1.0, "center": 0.5}
RISES = sorted((STEP * step for step in range(-NUM_STEPS, NUM_STEPS + 1)), key=abs)
PLACES = [(side, rise) for rise, side in product(RISES, SIDES)]
# A name further away than this has a line back to its point.
NEAR = 12.0
# Prices in the same unit: a whisker below the name, a line that crosses a name, a line through a
# point, another point that is nearer than the name's own, another cost's point that is near.
WHISKER, CROSSING, PIERCING, STRANGER, NEIGHBOUR = 4.0, 40.0, 20.0, 60.0, 16.0


class NamedPoint(NamedTuple):
    """A name, where it belongs, and what is drawn there.

    `marks`: (low end, middle, high end) of each whisker at this cost.
    """

    name: str
    cost: float
    height: float
    marks: Sequence[tuple[float, float, float]]


@dataclass(kw_only=True)
class Scene:
    """Boxes and lines that are on the picture, in pixels.

    Attributes:
        plot: The inside of the axes.
        scale: Pixels per point of 1/72 inch.
        anchors: The place that each name belongs to.
        points: (index of the name that it belongs to, box) of everything that is drawn as a point.
        whiskers: Thin lines that a name may cover.
        names: Names that are placed.
        lines: Lines from names back to their anchors.
    """

    plot: Bbox
    scale: float
    anchors: Sequence[Bbox]
    points: Sequence[tuple[int, Bbox]]
    whiskers: Sequence[Bbox]
    names: list[Bbox] = field(default_factory=list)
    lines: list[Path] = field(default_factory=list)

    def has_room(self, box: Bbox) -> bool:
        """Check that a name is inside the plot and covers no point and no other name."""
        plot = self.plot
        is_inside = plot.x0 <= box.x0 and box.x1 <= plot.x1
        is_inside &= plot.y0 <= box.y0 and box.y1 <= plot.y1
        taken = [*(point for _, point in self.points), *self.names]
        return bool(is_inside) and not any(box.overlaps(other) for other in taken)

    def price(self, box: Bbox, index: int) -> float:
        """Weigh how hard a name in this place is to read, in points of 1/72 inch.

        Args:
            box: The name.
            index: Of the name, in `anchors`.
        """
        own = self.anchors[index]
        distance = distance_of(box, own)
        strangers = [point for owner, point in self.points if owner != index]
        # Points of one cost are above each other: a name is near to all of them wherever it is.
        elsewhere = [p for p in strangers if abs(p.x0 - own.x0) > 2 * RADIUS * self.scale]
        price = distance / self.scale
        price += WHISKER * sum(box.overlaps(other) for other in self.whiskers)
        price += CROSSING * sum(line.intersects_bbox(box, filled=False) for line in self.lines)
        price += STRANGER * any(distance_of(box, point) < distance for point in strangers)
        price += NEIGHBOUR * any(
            distance_of(box, point) <= NEAR * self.scale for point in elsewhere
        )
        if (line := self.line_back(box, own)) is not None:
            price += CROSSING * sum(line.intersects_bbox(o, filled=False) for o in self.names)
            price += PIERCING * sum(line.intersects_bbox(o, filled=False) for o in strangers)
        return price

    def line_back(self, box: Bbox, own: Bbox) -> Path | None:
        """Draw the line from a name to its point; None if the name is near enough without."""
        if distance_of(box, own) <= NEAR * self.scale:
            return None
        end = center(own)
        start = [np.clip(end[0], box.x0, box.x1), center(box)[1]]
        return Path(np.array([start, end]))


def distance_of(box: Bbox, other: Bbox) -> float:
    """Measure the distance from a box to the centre of another one, in pixels."""
    end = center(other)
    return float(np.hypot(*(np.clip(end, box.min, box.max) - end)))


def center(box: Bbox) -> NDArray[np.float64]:
    """Compute the centre of a box: (2,) pixels."""
    return np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])


def write_names(figure: Figure, axes: Axes, points: Sequence[NamedPoint]) -> int:
    """Write a name at each point that has room for one.

    Returns:
        How many points have no room.
    """
    # Places are known once the layout is: in pixels of this canvas, which the SVG scales as one.
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    marks = [(index, item.cost, *mark) for index, item in enumerate(points) for mark in item.marks]
    scene = Scene(
        plot=axes.get_window_extent(),
        scale=figure.dpi / POINTS_PER_INCH,
        anchors=[box_of(axes, item.cost, item.height, item.height) for item in points],
        points=[(index, box_of(axes, cost, at, at)) for index, cost, _, at, _ in marks],
        whiskers=[box_of(axes, cost, low, high) for _, cost, low, _, high in marks],
    )
    return sum(not write_name(axes, points, index, scene, renderer) for index in range(len(points)))


def write_name(
    axes: Axes,
    points: Sequence[NamedPoint],
    index: int,
    scene: Scene,
    renderer: RendererBase,
) -> bool:
    """Write one of the names in its cheapest place, where the layout ignores it.

    Returns:
        True if there is room.
    """
    point, own = points[index], scene.anchors[index]
    name = shorten(point.name, MAX_LETTERS)
    boxes = find_boxes(center(own), measure(axes, name, renderer), scene.scale)
    priced = [
        (scene.price(box, index), place) for place, box in enumerate(boxes) if scene.has_room(box)
    ]
    if not priced:
        return False
    _, place = min(priced)
    scene.names.append(boxes[place])
    line = scene.line_back(boxes[place], own)
    if line is not None:
        scene.lines.append(line)
    side, rise = PLACES[place]
    arrow = {"arrowstyle": "-", "color": LINE, "linewidth": 0.8, "shrinkB": RADIUS}
    shown = axes.annotate(
        name,
        (point.cost, point.height),
        (SIDES[side], rise),
        textcoords="offset points",
        ha=side,
        va="center",
        fontsize=FONT_SIZE,
        color=INK,
        arrowprops={**arrow, "relpos": (STARTS[side], 0.5)} if line is not None else None,
    )
    shown.set_in_layout(False)
    return True


def measure(axes: Axes, name: str, renderer: RendererBase) -> tuple[float, float]:
    """Measure a name: width and height in pixels."""
    shown = axes.text(0, 0, name, fontsize=FONT_SIZE)
    box = shown.get_window_extent(renderer)
    shown.remove()
    return box.width, box.height


def find_boxes(point: NDArray[np.float64], size: tuple[float, float], scale: float) -> list[Bbox]:
    """List the box of a name in each of `PLACES`.

    Args:
        point: (2,) pixels.
        size: Width and height of the name, in pixels.
        scale: Pixels per point of 1/72 inch.
    """
    boxes = []
    for side, rise in PLACES:
        left = point[0] + SIDES[side] * scale - STARTS[side] * size[0]
        bottom = point[1] + rise * scale - size[1] / 2
        boxes.append(Bbox.from_bounds(left, bottom, *size))
    return boxes


def box_of(axes: Axes, cost: float, low: float, high: float) -> Bbox:
    """Compute the box of a point or a whisker, in pixels."""
    scale = axes.figure.dpi / POINTS_PER_INCH
    (x, bottom), (_, top) = axes.transData.transform([(cost, low), (cost, high)])
    margin = RADIUS * scale
    return Bbox([[x - margin, bottom - margin], [x + margin, top + margin]])
