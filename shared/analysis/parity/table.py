"""The rungs of a parity ladder as a table, and notes about changes to some of them."""

from collections.abc import Sequence

from rich.table import Table

from .rungs import Rung


def parity_table(rungs: Sequence[Rung]) -> Table:
    """Return a table with one line per rung; `itself` is one backend's error against itself."""
    table = Table(title="Parity", title_justify="left", box=None, pad_edge=False)
    numbers = ("tensors", "worst error", "itself")
    for name in ("rung", "tensors", "worst error", "itself", "allowed", "verdict", "worst tensor"):
        table.add_column(name, justify="right" if name in numbers else "left")
    for rung in rungs:
        own = rung.self_difference
        table.add_row(
            rung.name,
            str(rung.num_tensors),
            f"{rung.error:.1e}",
            "" if own is None else f"{own:.1e}",
            f"{rung.tolerance:.0e}",
            rung.verdict,
            rung.worst,
        )
    return table


def rung_notes(rungs: Sequence[Rung]) -> list[str]:
    """List the notes of the rungs without repetitions, each with the name of its stage or steps."""
    places = [(rung.name.rpartition(": ")[:2], note) for rung in rungs for note in rung.notes]
    return list(dict.fromkeys(f"{''.join(place)}{note}." for place, note in places))
