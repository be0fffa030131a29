"""The tables of a report that judge: every comparison, and the best row against each other one."""

from collections.abc import Sequence

from .figures import Table
from .findings import Pair
from .headline import Rival, write_points, write_remedy


def rival_table(rivals: Sequence[Rival]) -> Table | None:
    """The best row of each data set against each other one; none where there is but one row."""
    rows = [
        [
            rival.other,
            rival.best,
            write_points(rival.pair),
            rival.pair.reason or judge_pair(rival.pair),
            write_remedy(rival.remedy),
        ]
        for rival in rivals
    ]
    if not rows:
        return None
    columns = ["row", "against the best", "apart (interval)", "verdict", "what would settle it"]
    return Table(
        title="The best row and each other one",
        columns=columns,
        rows=rows,
        note="What would settle it: so that a true difference of the size seen is shown in four "
        "studies of five.",
        words=[column for column in columns if column != "apart (interval)"],
    )


def describe_rivals(table: Table | None) -> list[dict[str, str]]:
    """The best row against each other one, as JSON values."""
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows] if table else []


def pair_table(pairs: Sequence[Pair]) -> Table:
    """Every comparison of the page, the smallest p first."""
    ordered = sorted(pairs, key=lambda pair: (pair.p_value is None, pair.p_value))
    rows = [
        [
            pair.first,
            pair.second,
            "-" if pair.difference is None else f"{100 * pair.difference:+.1f}",
            write_ends(pair),
            "-" if pair.p_value is None else write_p(pair.p_value),
            "-" if pair.adjusted is None else write_p(pair.adjusted),
            pair.reason or judge_pair(pair),
        ]
        for pair in ordered
    ]
    columns = [
        "first", "second", "first less second, points", "interval, points", "p", "adjusted p",
        "verdict",
    ]  # fmt: skip
    return Table(
        title="Paired comparisons of the rows",
        columns=columns,
        rows=rows,
        note="Each interval is at the level at which its pair was judged, so that it holds 0 "
        "exactly where no difference is shown.",
        words=["first", "second", "verdict"],
    )


def write_ends(pair: Pair) -> str:
    """`-0.4 to +2.8`, or a dash."""
    if pair.low is None or pair.high is None:
        return "-"
    return f"{100 * pair.low:+.1f} to {100 * pair.high:+.1f}"


def judge_pair(pair: Pair) -> str:
    """What a comparison shows."""
    return f"{pair.winner} is better" if pair.winner else "no difference shown"


def write_p(value: float) -> str:
    """A p value."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
