"""Names next to the points of a picture, placed so that each can be read.

The points come in order of importance. Each name takes the nearest free place around its point:
right or left of it, then a line higher or lower, with a thin line back to the point.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from .drawing import INK, LINE, POINTS_PER_INCH, shorten

FONT_SIZE = 8
MAX_LETTERS = 32
# In points of 1/72 inch: the gap from a point to its name, the step to the next place above or
# below, and the space that a point keeps free on each side.
GAP, STEP, RADIUS = 8.0, 10.0, 6.0
NUM_STEPS = 9


class NamedPoint(NamedTuple):
    """A name, where it belongs, and what is drawn there.

    `marks`: (low end, middle, high end) of each whisker at this cost.
    """

    name: str
    cost: float
    height: float
    marks: Sequence[tuple[float, float, float]]


def write_names(figure: Figure, axes: Axes, points: Sequence[NamedPoint]) -> int:
    """Write a name at each point that has room for one.

    A name covers no point and no other name. It avoids the whiskers if it can.

    Returns:
        How many points have no room.
    """
    # Places are known once the layout is: in pixels of this canvas, which the SVG scales as one.
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    marks = [(item.cost, *mark) for item in points for mark in item.marks]
    taken = [box_of(axes, cost, middle, middle) for cost, _, middle, _ in marks]
    whiskers = [box_of(axes, cost, low, high) for cost, low, _, high in marks]
    num_unnamed = 0
    for point in points:
        shown = write_name(axes, point)
        found = find_place(shown, renderer, axes, ([*taken, *whiskers], taken))
        if found is None:
            shown.remove()
            num_unnamed += 1
        else:
            taken.append(found)
    return num_unnamed


def write_name(axes: Axes, point: NamedPoint) -> Annotation:
    """Create the name, not yet in its place. The layout ignores it."""
    shown = axes.annotate(
        shorten(point.name, MAX_LETTERS),
        (point.cost, point.height),
        (0, 0),
        textcoords="offset points",
        va="center",
        fontsize=FONT_SIZE,
        color=INK,
        arrowprops={"arrowstyle": "-", "color": LINE, "linewidth": 0.8, "shrinkB": RADIUS},
    )
    shown.set_in_layout(False)
    return shown


def find_place(
    shown: Annotation, renderer: RendererBase, axes: Axes, wishes: Sequence[Sequence[Bbox]]
) -> Bbox | None:
    """Move a name to the first free place.

    Args:
        shown: The name.
        renderer: Of the figure's canvas.
        axes: The plot that it stays inside.
        wishes: Boxes to avoid. Later ones are tried if the earlier ones leave no place.

    Returns:
        The box of the name; None if no place is free.
    """
    for taken in wishes:
        for box in try_places(shown, renderer):
            if is_free(box, taken, axes):
                return box
    return None


def try_places(shown: Annotation, renderer: RendererBase) -> Iterator[Bbox]:
    """Move a name to one place after the other, the nearest first; yield its box in each."""
    for step, is_left in product(range(NUM_STEPS * 2), (False, True)):
        rise = (step + 1) // 2 * (STEP if step % 2 else -STEP)
        shown.set_position((-GAP if is_left else GAP, rise))
        shown.set_horizontalalignment("right" if is_left else "left")
        if shown.arrow_patch is not None:
            shown.arrow_patch.set_visible(rise != 0)
        # The letters count, the line back to the point does not: it may cross other marks.
        shown.update_positions(renderer)
        yield Text.get_window_extent(shown, renderer)


def is_free(box: Bbox, taken: Sequence[Bbox], axes: Axes) -> bool:
    """Check that a name is inside the plot and covers nothing."""
    plot = axes.get_window_extent()
    is_inside = plot.x0 <= box.x0 and box.x1 <= plot.x1 and plot.y0 <= box.y0 and box.y1 <= plot.y1
    return is_inside and not any(box.overlaps(other) for other in taken)


def box_of(axes: Axes, cost: float, low: float, high: float) -> Bbox:
    """Compute the box of a point or a whisker, in pixels."""
    scale = axes.figure.dpi / POINTS_PER_INCH
    (x, bottom), (_, top) = axes.transData.transform([(cost, low), (cost, high)])
    margin = RADIUS * scale
    return Bbox([[x - margin, bottom - margin / 2], [x + margin, top + margin / 2]])
