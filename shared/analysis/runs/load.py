"""Warnings about runs whose times were taken on a loaded machine."""

from collections.abc import Iterable, Mapping

from poc.shared.engine.machine.load import MAX_OTHER_SHARE

SHARE = "other_processor_share"


def load_notes(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Return one sentence if other programs used much of the machine during some runs.

    Args:
        rows: Summaries of runs; those of former versions do not have the share and are ignored.
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
    """Format a share as `31 %`."""
    return f"{100 * share:.0f} %"
