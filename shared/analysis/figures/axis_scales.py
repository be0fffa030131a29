"""Limits and tick labels of a picture's axes: few, whole where they count, never in powers."""

from collections.abc import Sequence

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

MAX_TICKS = 5
MILLION = 1e6
# A linear axis has no room for both ends of a wider range.
LOG_RATIO = 50
MARGIN = 0.04
LOG_MARGIN = 1.2


def write_tick(value: float, *, in_millions: bool = False) -> str:
    """`0.25`, `1,500`, `2.5M`: never a power, never an offset."""
    if value and (in_millions or abs(value) >= MILLION):
        return f"{value / MILLION:,g}M"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.9f}".rstrip("0").rstrip(".")


def needs_log(values: Sequence[float]) -> bool:
    """Whether a linear axis would hide the small ones; not where one is 0 or below."""
    return min(values) > 0 and max(values) > LOG_RATIO * min(values)


def label_linear(axis: Axis, *, is_whole: bool = False) -> None:
    """Few ticks; `is_whole`: at whole numbers alone."""
    axis.set_major_locator(MaxNLocator(MAX_TICKS, integer=is_whole, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write_on(axis, value)))


def write_on(axis: Axis, value: float) -> str:
    """A tick in the unit of the largest value of its axis."""
    largest = max(abs(end) for end in axis.get_view_interval())
    return write_tick(value, in_millions=largest >= MILLION)


def label_log(axis: Axis) -> None:
    """Few ticks at powers of ten, written out; of a short range also between them."""
    low, high = sorted(axis.get_view_interval())
    parts = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=parts, numticks=MAX_TICKS + 1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write_tick(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def linear_limits(low: float, high: float) -> tuple[float, float]:
    """A little beyond both ends."""
    margin = MARGIN * (high - low) or 0.5
    return low - margin, high + margin
