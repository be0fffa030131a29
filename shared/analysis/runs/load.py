"""Whether the times of finished runs are those of a loaded machine."""

from collections.abc import Iterable, Mapping
from typing import Any

from poc.shared.engine.machine.load import MAX_OTHER_SHARE

SHARE = "other_processor_share"


def load_notes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """One sentence where other programs took much of the machine while some runs trained.

    Args:
        rows: Summaries; those of former versions do not tell.
    """
    known = [row for row in rows if row.get(SHARE) is not None]
    loaded = [row for row in known if row[SHARE] > MAX_OTHER_SHARE]
    if not loaded:
        return []
    largest: dict[str, float] = {}
    for row in known:
        largest[row["backend"]] = max(row[SHARE], largest.get(row["backend"], 0.0))
    each = ", ".join(f"{backend} {percent(share)}" for backend, share in sorted(largest.items()))
    runs = f"{len(loaded)} of {len(known)} runs" if len(known) > 1 else "this run"
    return [
        f"Other programs used up to {percent(max(largest.values()))} of the machine's processors "
        f"in {runs} ({each}): these times, and ratios of them, are not to be trusted."
    ]


def percent(share: float) -> str:
    """`31 %`."""
    return f"{100 * share:.0f} %"
