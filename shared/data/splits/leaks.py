"""Leaks between two parts of a split: the same content, or examples of one group."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .partition import groups_of
from .split import Split


@dataclass(frozen=True)
class Leak:
    """One content or group that is in several parts.

    Attributes:
        kind: `content` or `group`.
        key: The content's hash, or the group's name.
        ids: Part -> ids that share the content or group.
    """

    kind: str
    key: str
    ids: dict[str, list[str]]

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def find_leaks(split: Split, group_pattern: str | None = None) -> list[Leak]:
    """Find all contents and groups that are in two parts.

    Args:
        split: The parts; `val` is not compared if it equals `test` by definition.
        group_pattern: Finds an example's group in its id; None uses the
            definition's pattern, or else the source's own groups.

    Raises:
        UsageError: The pattern does not match every id.
    """
    source = split.source
    leaks = shared_keys(split, "content", np.array(source.digests))
    groups = groups_of(source, group_pattern or split.spec.group_pattern)
    if groups is not None:
        leaks += shared_keys(split, "group", groups)
    return leaks


def shared_keys(split: Split, kind: str, keys: NDArray[np.str_]) -> list[Leak]:
    """Find the keys, (n,) text for each of the source's examples, in more than one part."""
    parts = {
        part: indices
        for part, indices in split.parts.items()
        if part != "val" or not np.array_equal(split.val, split.test)
    }
    found: dict[str, dict[str, list[str]]] = {}
    for part, indices in parts.items():
        for index in indices:
            members = found.setdefault(str(keys[index]), {})
            members.setdefault(part, []).append(split.source.ids[index])
    return [Leak(kind, key, members) for key, members in found.items() if len(members) > 1]


def note_leaks(split: Split, leaks: Sequence[Leak]) -> str:
    """Return a sentence for a run on a split with leaks; empty if there are none."""
    if not leaks:
        return ""
    counts = [
        f"{count:,} {kind}{'s' if count > 1 else ''}"
        for kind in ("content", "group")
        if (count := sum(leak.kind == kind for leak in leaks))
    ]
    return (
        f"The parts of {split.source.name} share {' and '.join(counts)}, which makes a test easier "
        f"than it is: {describe_leaks(leaks, 1)}. poc data verify names them all."
    )


def summarise_leaks(leaks: Sequence[Leak], num_named: int) -> dict[str, object]:
    """Return the counts and the first leaks, for `run.json`."""
    return {
        "num_contents": sum(leak.kind == "content" for leak in leaks),
        "num_groups": sum(leak.kind == "group" for leak in leaks),
        "first": [leak.to_json() for leak in leaks[:num_named]],
    }


def describe_leaks(leaks: Sequence[Leak], num_named: int = 3) -> str:
    """Name the first leaks in one clause."""
    named = [
        f"{leak.kind} {leak.key[:16]} in "
        + " and ".join(f"{part} ({ids[0]})" for part, ids in leak.ids.items())
        for leak in leaks[:num_named]
    ]
    rest = f" and {len(leaks) - num_named} more" if len(leaks) > num_named else ""
    return "; ".join(named) + rest
