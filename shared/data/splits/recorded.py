"""The parts of a run in its folder: the examples' ids, and a short hash of their content.

A split is drawn from all examples, so that one image more may move others into another part. The
examples that a run trained on are therefore not drawn again, but found again by their ids.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import PARTITIONS, Indices, Parts, Source
from poc.shared.files.arrays import Arrays

from .files import NUM_DIGITS, as_indices, positions_of
from .split import Split

BITS = {part: 1 << place for place, part in enumerate(PARTITIONS)}
# The ids of sources with these prefixes are paths. Those of other sources are positions in a file.
NAMED = ("folder:", "csv:")


class Changes(NamedTuple):
    """Counts of examples that are new, are gone, or have other content under the same id."""

    new: int
    missing: int
    changed: int


@dataclass(frozen=True, eq=False)
class RecordedParts:
    """All examples that the source had, also those in no part.

    Attributes:
        ids: (n,) text, in composed form.
        contents: (n,) uint64, the first digits of each example's hash.
        members: (n,) uint8, one bit per part.
    """

    ids: NDArray[np.str_]
    contents: NDArray[np.uint64]
    members: NDArray[np.uint8]

    @classmethod
    def of(cls, split: Split) -> Self:
        """Build the record of a split."""
        # Bits and not one number, because an example may validate and test at once (`val_on_test`).
        members = np.zeros(len(split.source), dtype=np.uint8)
        for part, indices in split.parts.items():
            members[indices] |= BITS[part]
        ids = np.asarray(list(positions_of(split.source)), dtype=np.str_)
        return cls(ids, short_hashes(split.source), members)

    @classmethod
    def parse(cls, arrays: Arrays, fingerprint: str) -> Self:
        """Build the record from a file's arrays, if they fit the run's fingerprint.

        Args:
            arrays: `ids`, `contents` and `members`, each (n,).
            fingerprint: Fingerprint of the run's split.

        Raises:
            ValueError: The arrays are incomplete, malformed or of another split.
        """
        if {"ids", "contents", "members"} - arrays.keys():
            raise ValueError(f"it holds {', '.join(arrays) or 'nothing'}")
        found = cls(arrays["ids"], arrays["contents"], arrays["members"])
        shapes = {found.ids.shape, found.contents.shape, found.members.shape}
        kinds = found.ids.dtype.kind + found.contents.dtype.kind + found.members.dtype.kind
        if len(shapes) != 1 or found.ids.ndim != 1 or kinds != "Uuu":
            raise ValueError("its arrays do not fit together")
        if found.fingerprint != fingerprint:
            raise ValueError("its ids are not those of the run")
        return found

    def to_bytes(self) -> bytes:
        """Return the bytes of an npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, ids=self.ids, contents=self.contents, members=self.members)
        return buffer.getvalue()

    @property
    def fingerprint(self) -> str:
        """Compute the fingerprint of the split, as `Split.fingerprint` does."""
        content = {part: sorted(self.ids[self.is_in(part)].tolist()) for part in PARTITIONS}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def is_in(self, part: str) -> NDArray[np.bool_]:
        """Return for each example whether it belongs to a part: (n,) bool."""
        return np.asarray(self.members & BITS[part] != 0)

    def count(self, part: str) -> int:
        """Count the examples of a part."""
        return int(self.is_in(part).sum())

    def place(self, source: Source) -> Parts:
        """Find the examples that still exist: part -> (k,) int64 positions in the source."""
        position = positions_of(source)
        return {
            part: as_indices(
                position[name] for name in self.ids[self.is_in(part)].tolist() if name in position
            )
            for part in PARTITIONS
        }

    def compare(self, source: Source) -> Changes:
        """Count the examples that are new, missing or changed since the run."""
        now = dict(zip(positions_of(source), short_hashes(source).tolist(), strict=True))
        before = dict(zip(self.ids.tolist(), self.contents.tolist(), strict=True))
        common = before.keys() & now.keys()
        changed = sum(before[name] != now[name] for name in common)
        return Changes(len(now) - len(common), len(before) - len(common), changed)

    def find_trained(self, source: Source, indices: Indices, part: str) -> list[str]:
        """Find examples at these positions that the run trained on and that were not in `part` too.

        Args:
            source: The present source.
            indices: (k,) int64 positions in it.
            part: Part of the run to which the positions belong.

        Returns:
            Their ids.
        """
        # By content, since a file may have been renamed; also by ids that are paths, since a file
        # may have been edited.
        own, trained = self.is_in(part), self.is_in("train")
        hashes, names = short_hashes(source)[indices], list(positions_of(source))
        is_seen = np.isin(hashes, self.contents[trained])
        is_own = np.isin(hashes, self.contents[own])
        chosen = np.asarray([names[index] for index in indices], dtype=np.str_)
        if source.name.startswith(NAMED):
            is_seen |= np.isin(chosen, self.ids[trained])
            is_own |= np.isin(chosen, self.ids[own])
        return [str(name) for name in chosen[is_seen & ~is_own]]


def short_hashes(source: Source) -> NDArray[np.uint64]:
    """Return the first digits of each example's content hash: (n,) uint64."""
    return np.array([int(digest[:NUM_DIGITS], 16) for digest in source.digests], dtype=np.uint64)
