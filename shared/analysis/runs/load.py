"""Whether the times of finished runs are those of a loaded machine."""

from collections.abc import Iterable, Mapping

from poc.shared.engine.machine.load import MAX_OTHER_SHARE

SHARE = "other_processor_share"


def load_notes(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """One sentence where other programs took much of the machine while some runs trained.

    Args:
        rows: Summaries; those of former versions do not tell.
    """
    known = [
        (str(row["backend"]), share)
        for row in rows
        if isinstance(share := row.get(SHARE), int | float)
    ]
    loaded = [share for _, share in known if share > MAX_OTHER_SHARE]
    if not loaded:
        return []
    largest: dict[str, float] = {}
    for backend, share in known:
        largest[backend] = max(share, largest.get(backend, 0.0))
    each = ", ".join(f"{backend} {percent(share)}" for backend, share in sorted(largest.items()))
    runs = f"{len(loaded)} of {len(known)} runs" if len(known) > 1 else "this run"
    return [
        f"Other programs used up to {percent(max(largest.values()))} of the machine's processors "
        f"in {runs} ({each}): these times, and ratios of them, are not to be trusted."
    ]


def percent(share: float) -> str:
    """`31 %`."""
    return f"{100 * share:.0f} %"
