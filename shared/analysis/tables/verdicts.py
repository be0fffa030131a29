"""Tables of a report's verdicts: every comparison, and the best row against each other row."""

from collections.abc import Sequence
from dataclasses import replace

from poc.shared.analysis.verdicts.digits import write_difference, write_interval
from poc.shared.analysis.verdicts.headline import Rival
from poc.shared.analysis.verdicts.pairs import Pair
from poc.shared.analysis.verdicts.phrases import write_points, write_remedy

from .table import Table, drop_silent_columns

SETTLING = "what would settle it"
REMEDY_NOTE = (
    "The last column: with these numbers, a true difference of the observed size is shown in four "
    "studies of five."
)


def rival_table(rivals: Sequence[Rival]) -> Table | None:
    """Return the table of the best row of each data set against each other row.

    Returns None if no data set has a second row.
    """
    if not rivals:
        return None
    bests = list(dict.fromkeys(rival.best for rival in rivals))
    rows = [
        [
            rival.other,
            rival.best if bests[1:] else "",
            f"{rival.accuracy:.4f}",
            write_points(rival.pair),
            rival.pair.reason or judge_pair(rival.pair),
            write_remedy(rival.remedy),
        ]
        for rival in rivals
    ]
    numbers = ("test accuracy", "apart (interval)")
    columns = ["row", "against the best", *numbers, "verdict", SETTLING]
    which = "The best row" if bests[1:] else f"The best row, {bests[0]},"
    table = drop_silent_columns(
        Table(
            title=f"{which} against each other row, the nearest first",
            columns=columns,
            rows=rows,
            words=[column for column in columns if column not in numbers],
            is_stacked=True,
        )
    )
    return replace(table, note=REMEDY_NOTE) if SETTLING in table.columns else table


def describe_rival(rival: Rival) -> dict[str, object]:
    """Return the comparison of the best row with another row (best - other), as JSON values."""
    pair = rival.pair
    sign = 1 if pair.first == rival.best else -1
    ends = (pair.low, pair.high) if sign == 1 else (pair.high, pair.low)
    difference, low, high = (
        None if value is None else sign * value for value in (pair.difference, *ends)
    )
    return {
        "row": rival.other,
        "best": rival.best,
        "test_accuracy_mean": rival.accuracy,
        "difference": difference,
        "low": low,
        "high": high,
        "winner": pair.winner,
        "reason": pair.reason,
        "remedy": rival.remedy._asdict() if rival.remedy else None,
    }


def pair_table(pairs: Sequence[Pair]) -> Table:
    """Return the table of every comparison of the page, the smallest p first."""
    ordered = sorted(pairs, key=lambda pair: (pair.p_value is None, pair.p_value))
    rows = [
        [
            pair.first,
            pair.second,
            write_signed(pair),
            write_ends(pair),
            "-" if pair.p_value is None else write_p(pair.p_value),
            "-" if pair.adjusted is None else write_p(pair.adjusted),
            pair.reason or judge_pair(pair),
        ]
        for pair in ordered
    ]
    columns = [
        "first", "second", "first - second, points", "interval, points", "p", "adjusted p",
        "verdict",
    ]  # fmt: skip
    return Table(
        title="Paired comparisons of the rows",
        columns=columns,
        rows=rows,
        note="The smallest p first. Each interval is at the level at which its pair was judged, so "
        "it contains 0 exactly if no difference is shown.",
        words=["first", "second", "verdict"],
    )


def write_signed(pair: Pair) -> str:
    """Return the difference of a pair in points, `+1.2`; a dash if it has none."""
    if pair.difference is None:
        return "-"
    return write_difference(pair.difference, pair.low or 0.0, pair.high or 0.0, "+")


def write_ends(pair: Pair) -> str:
    """Return the interval of a pair in points, `-0.4 to +2.8`; a dash if it has none."""
    if pair.low is None or pair.high is None:
        return "-"
    return write_interval(pair.low, pair.high, "+")


def judge_pair(pair: Pair) -> str:
    """Return the verdict of a comparison in words."""
    if pair.is_of_one_seed and pair.is_far_apart:
        return "one seed each: not judged"
    return f"{pair.winner} is better" if pair.winner else "no difference shown"


def write_p(value: float) -> str:
    """Format a p value with four decimals."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
