"""Limits and tick labels of a picture's axes: few labels, integers for counts, never powers."""

from collections.abc import Sequence

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

MAX_TICKS = 5
MILLION = 1e6
# On a linear axis, the small end of a wider range would not be visible.
LOG_RATIO = 50
# Space beyond the data: a share of a linear range, a factor of a logarithmic one.
MARGIN = 0.04
LOG_MARGIN = 1.2


def write_tick(value: float, *, in_millions: bool = False) -> str:
    """Format a tick as `0.25`, `1,500` or `2.5M`: never as a power, never with an offset."""
    if value and (in_millions or abs(value) >= MILLION):
        return f"{value / MILLION:,g}M"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.9f}".rstrip("0").rstrip(".")


def needs_log(values: Sequence[float]) -> bool:
    """Return whether a linear axis would hide the small values; False if any is 0 or below."""
    return min(values) > 0 and max(values) > LOG_RATIO * min(values)


def label_linear(axis: Axis, *, is_whole: bool = False) -> None:
    """Set few ticks; with `is_whole` only at integers."""
    axis.set_major_locator(MaxNLocator(MAX_TICKS, integer=is_whole, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write_on(axis, value)))


def write_on(axis: Axis, value: float) -> str:
    """Format a tick in the unit of the largest value of its axis."""
    largest = max(abs(end) for end in axis.get_view_interval())
    return write_tick(value, in_millions=largest >= MILLION)


def label_log(axis: Axis) -> None:
    """Set few ticks at powers of ten, written out; in a short range also between them."""
    low, high = sorted(axis.get_view_interval())
    parts = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=parts, numticks=MAX_TICKS + 1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write_tick(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def share_limits(low: float, high: float) -> tuple[float, float]:
    """Return limits a little beyond both ends of shares, and never far beyond 0 or 1."""
    start, end = linear_limits(low, high)
    return max(start, -MARGIN), min(end, 1 + MARGIN)


def linear_limits(low: float, high: float) -> tuple[float, float]:
    """Return limits a little beyond both ends."""
    # Equal ends would give an empty axis.
    margin = MARGIN * (high - low) or 0.5
    return low - margin, high + margin
