"""The kind of a run's split: what `auto` became, and the settings that decide nothing for it."""

from collections.abc import Sequence, Set

from poc.shared.spec.splits import READ_BY

# Middle of the run's note about a source without parts (engine/run_data.py).
UNPUBLISHED = " publishes no parts: "


def find_kind(kind: str, notes: Sequence[object] | None) -> str:
    """Return the kind of a split, with the kind that `auto` became.

    Args:
        kind: Kind in the settings.
        notes: Those of the run about its data; None: not recorded, so that `auto` stays.
    """
    if kind != "auto" or notes is None:
        return kind
    return "fractions" if any(UNPUBLISHED in str(note) for note in notes) else "published"


def list_unread(kind: str) -> Set[str]:
    """Return the settings of the split that a kind does not read, such as `fold`; dotted keys."""
    known = {each for kinds in READ_BY.values() for each in kinds}
    if kind not in known:
        return set()
    return {f"data.split.{key}" for key, kinds in READ_BY.items() if kind not in kinds}
