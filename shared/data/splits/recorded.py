"""The parts of a run as its folder keeps them: which examples, and a short hash of what they held.

A split is drawn from all examples, so that one image more may move others into another part. What a
run has trained on is therefore not drawn again, but found again by its ids.
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
# Ids of other sources say where an example stands in its file, and not which one it is.
NAMED = "folder:"


class Changes(NamedTuple):
    """How many examples have come, gone, or hold something else under the same id."""

    new: int
    missing: int
    changed: int


@dataclass(frozen=True, eq=False)
class RecordedParts:
    """Every example that the source had, whether or not a part took it.

    Attributes:
        ids: (n,) text, in composed form.
        contents: (n,) uint64, the first digits of each example's hash.
        members: (n,) uint8, one bit a part.
    """

    ids: NDArray[np.str_]
    contents: NDArray[np.uint64]
    members: NDArray[np.uint8]

    @classmethod
    def of(cls, split: Split) -> Self:
        """Those of a split that was made."""
        members = np.zeros(len(split.source), dtype=np.uint8)
        for part, indices in split.parts.items():
            members[indices] |= BITS[part]
        ids = np.asarray(list(positions_of(split.source)), dtype=np.str_)
        return cls(ids, short_hashes(split.source), members)

    @classmethod
    def parse(cls, arrays: Arrays, fingerprint: str) -> Self:
        """Those of a file, if they are the parts that the fingerprint stands for.

        Raises:
            ValueError: They are not.
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
        """An npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, ids=self.ids, contents=self.contents, members=self.members)
        return buffer.getvalue()

    @property
    def fingerprint(self) -> str:
        """That of the split, see `Split.fingerprint`."""
        content = {part: sorted(self.ids[self.is_in(part)].tolist()) for part in PARTITIONS}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def is_in(self, part: str) -> NDArray[np.bool_]:
        """(n,) whether each example belongs to a part."""
        return np.asarray(self.members & BITS[part] != 0)

    def count(self, part: str) -> int:
        """Examples of a part."""
        return int(self.is_in(part).sum())

    def place(self, source: Source) -> Parts:
        """Positions of the examples that are still there, part by part."""
        position = positions_of(source)
        return {
            part: as_indices(
                position[name] for name in self.ids[self.is_in(part)].tolist() if name in position
            )
            for part in PARTITIONS
        }

    def compare(self, source: Source) -> Changes:
        """What has happened to the examples since."""
        now = dict(zip(positions_of(source), short_hashes(source).tolist(), strict=True))
        before = dict(zip(self.ids.tolist(), self.contents.tolist(), strict=True))
        common = before.keys() & now.keys()
        changed = sum(before[name] != now[name] for name in common)
        return Changes(len(now) - len(common), len(before) - len(common), changed)

    def find_trained(self, source: Source, indices: Indices, part: str) -> list[str]:
        """Ids of the examples at these positions that the run trained on, and not in `part` too."""
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
    """(n,) the first digits of each example's content hash."""
    return np.array([int(digest[:NUM_DIGITS], 16) for digest in source.digests], dtype=np.uint64)
