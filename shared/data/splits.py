"""Splits: which examples train, validate and test, as a definition that can be stored and compared.

Which example is drawn depends on (seed, id) alone: a hash orders the examples of each class. A
split is therefore the same on every machine and under every NumPy version, and a source that lists
its examples in another order gets the same split. scikit-learn's stratified splitters are not used:
three parts need two of its draws, whose roundings add up to more than one example a class, and its
draws follow NumPy's generator streams, which may change between versions.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec

from .source import PARTITIONS, Indices, Source

Parts = dict[str, Indices]
FORMAT = "poc split 1"
NOTHING: Indices = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Split:
    """Three parts of one source.

    Attributes:
        source: Name of the source.
        spec: The definition that made the parts.
        ids: Ids of all the source's examples.
        train: (k,) int64 positions in the source, ascending; so are `val` and `test`.
        val: May be empty, and equals `test` under `val_on_test`.
        test: May be empty.
    """

    source: str
    spec: SplitSpec
    ids: Sequence[str]
    train: Indices
    val: Indices
    test: Indices

    @property
    def parts(self) -> Parts:
        """Part name -> positions."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def part_ids(self) -> dict[str, list[str]]:
        """Part name -> ids, in the order of the source."""
        return {
            part: [self.ids[index] for index in indices] for part, indices in self.parts.items()
        }

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over the ids of each part, whatever their order."""
        content = {part: sorted(ids) for part, ids in self.part_ids.items()}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def to_json(self) -> str:
        """Readable definition: how it was made, how many examples, which ids."""
        definition = {
            "format": FORMAT,
            "source": self.source,
            "spec": self.spec.model_dump(mode="json"),
            "fingerprint": self.fingerprint,
            "counts": {part: len(indices) for part, indices in self.parts.items()},
            **self.part_ids,
        }
        return json.dumps(definition, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, source: Source) -> Self:
        """The stored split, found again in `source` by its ids.

        Raises:
            UsageError: The text is no split, or the source lacks examples that it names.
        """
        stored = parse_definition(text)
        position = {name: index for index, name in enumerate(source.ids)}
        missing = [name for part in PARTITIONS for name in stored[part] if name not in position]
        if missing:
            raise UsageError(
                f"received a split with {len(missing)} examples that {source.name!r} does not have "
                f"({', '.join(missing[:5])}); allowed is the data that it was made from: open that "
                "source or make the split again"
            )
        parts = {part: as_indices(position[name] for name in stored[part]) for part in PARTITIONS}
        spec = SplitSpec.parse(stored["spec"], "split")
        split = cls(source.name, spec, source.ids, **parts)
        if split.fingerprint != stored["fingerprint"]:
            raise UsageError(
                f"received a split whose ids have the fingerprint {split.fingerprint[:12]}, not "
                f"the stored {str(stored['fingerprint'])[:12]}; allowed is an unedited file: make "
                "it again"
            )
        return split


def make_split(source: Source, spec: SplitSpec) -> Split:
    """Split a source as the definition says.

    Raises:
        UsageError: The source does not publish the part that is needed, a class is left without
            an example in a part that should have it, or fewer examples exist than are asked for.
    """
    makers = {"published": published, "fractions": fractions, "holdout": holdout}
    parts = makers[spec.kind](source, spec)
    parts["train"] = sample_train(source, spec, parts["train"])
    meant = {part for part, indices in parts.items() if len(indices)} | {"train"}
    if spec.kind == "fractions":
        meant |= {part for part, share in zip(PARTITIONS, spec.fractions, strict=True) if share}
    if spec.kind == "published" and (spec.val_fraction or spec.val_on_test):
        meant.add("val")
    for part in sorted(meant):
        check_classes(source, part, parts[part])
    return Split(
        source.name, spec, source.ids, **{part: np.sort(parts[part]) for part in PARTITIONS}
    )


def published(source: Source, spec: SplitSpec) -> Parts:
    """The source's own parts; val is the published one, the test part, or carved out of train."""
    train, test = published_part(source, "train"), published_part(source, "test")
    if spec.val_on_test:
        return {"train": train, "val": test, "test": test}
    if "val" in source.partitions:
        return {"train": train, "val": source.partitions["val"], "test": test}
    shares = (1 - spec.val_fraction, spec.val_fraction)
    train, val = stratify(source, train, shares, f"{spec.seed}/val")
    return {"train": train, "val": val, "test": test}


def fractions(source: Source, spec: SplitSpec) -> Parts:
    """All examples pooled and split anew, stratified."""
    everything = np.arange(len(source), dtype=np.int64)
    parts = stratify(source, everything, spec.fractions, f"{spec.seed}/fractions")
    return dict(zip(PARTITIONS, parts, strict=True))


def holdout(source: Source, spec: SplitSpec) -> Parts:
    """The first examples of the published train part validate; nothing is drawn."""
    train, test = published_part(source, "train"), published_part(source, "test")
    if spec.num_val_examples >= len(train):
        raise UsageError(
            f"received split.num_val_examples={spec.num_val_examples} for {source.name!r}; allowed "
            f"is 1 to {len(train) - 1}, below its train examples: lower it"
        )
    return {
        "train": train[spec.num_val_examples :],
        "val": train[: spec.num_val_examples],
        "test": test,
    }


def published_part(source: Source, part: str) -> Indices:
    """A published part, or a message that names the alternative."""
    if part not in source.partitions:
        raise UsageError(
            f"received a split that needs the published {part} part, but {source.name!r} publishes "
            f"{sorted(source.partitions) or 'none'}; allowed is split.kind=fractions: set it"
        )
    return source.partitions[part]


def sample_train(source: Source, spec: SplitSpec, train: Indices) -> Indices:
    """The stratified sample of the train part that the definition asks for, if any."""
    salt = f"{spec.seed}/sample"
    if spec.train_sample is not None:
        return stratify(source, train, (spec.train_sample, 1 - spec.train_sample), salt)[0]
    if spec.train_per_class is None:
        return train
    members = group_by_class(source, train, salt)
    for label, indices in members.items():
        if len(indices) < spec.train_per_class:
            raise UsageError(
                f"received split.train_per_class={spec.train_per_class}, but class "
                f"{source.class_names[label]!r} has {len(indices)} train examples in "
                f"{source.name!r}; allowed is at most that: lower it"
            )
    return np.concatenate([indices[: spec.train_per_class] for indices in members.values()])


def stratify(source: Source, indices: Indices, shares: Sequence[float], salt: str) -> list[Indices]:
    """Divide examples so that every class keeps its share in every part.

    Args:
        source: Gives ids and labels.
        indices: (k,) positions to divide.
        shares: Share of each part; they sum to 1.
        salt: Makes the draw; the same salt draws the same examples.

    Returns:
        One array of positions a part. Each class's count is within one of its exact share.
    """
    members = group_by_class(source, indices, salt)
    counts = apportion(np.array([len(member) for member in members.values()]), shares)
    cuts = np.cumsum(counts, axis=1)[:, :-1]
    pieces = [np.split(member, cut) for member, cut in zip(members.values(), cuts, strict=True)]
    return [np.concatenate(part) for part in zip(*pieces, strict=True)]


def group_by_class(source: Source, indices: Indices, salt: str) -> dict[int, Indices]:
    """Label -> positions of that class in the order that the salt draws; empty classes included."""
    keys = [hashlib.sha256(f"{salt}/{source.ids[index]}".encode()).digest() for index in indices]
    drawn = indices[sorted(range(len(indices)), key=keys.__getitem__)]
    labels = source.labels[drawn]
    return {label: drawn[labels == label] for label in range(len(source.class_names))}


def apportion(class_counts: NDArray[np.int64], shares: Sequence[float]) -> NDArray[np.int64]:
    """Whole numbers of examples for each class and part.

    Every count is the exact share rounded down or up. What rounding down leaves over goes to the
    part that is furthest behind its share of the classes so far, so that the totals come out too.

    Args:
        class_counts: (num_classes,) examples of each class.
        shares: (num_parts,) parts of 1.

    Returns:
        (num_classes, num_parts) counts; each row sums to its class count.
    """
    # Rounded because 0.1 * 30 must not be read as just below 3.
    exact = np.round(np.outer(class_counts, np.divide(shares, np.sum(shares))), 6)
    counts = np.floor(exact).astype(np.int64)
    behind = np.zeros(len(shares))
    for row, (total, wanted) in enumerate(zip(class_counts, exact, strict=True)):
        behind += wanted - counts[row]
        may_grow = np.where(wanted > counts[row], behind, -np.inf)
        grown = np.argsort(-may_grow, kind="stable")[: total - counts[row].sum()]
        counts[row, grown] += 1
        behind[grown] -= 1
    return counts


def check_classes(source: Source, part: str, indices: Indices) -> None:
    """Refuse a part that lacks a class."""
    present = np.bincount(source.labels[indices], minlength=len(source.class_names))
    if (present == 0).any():
        name = source.class_names[int(np.argmin(present))]
        raise UsageError(
            f"received a split of {source.name!r} that leaves class {name!r} without an example in "
            f"the {part} part; allowed is at least one of each class: change the shares or the data"
        )


def as_indices(positions: Any) -> Indices:
    """Ascending (k,) int64 positions."""
    return np.array(sorted(positions), dtype=np.int64)


def parse_definition(text: str) -> Mapping[str, Any]:
    """The stored object, if it is one of ours."""
    try:
        stored = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"received a split file that is no JSON ({error}); allowed is a file that poc wrote: "
            "make it again"
        ) from None
    needed = {"format", "spec", "fingerprint", *PARTITIONS}
    if not isinstance(stored, dict) or stored.get("format") != FORMAT or needed - stored.keys():
        raise UsageError(
            f"received a file that is no split of format {FORMAT!r}; allowed is a file that poc "
            "wrote: make it again"
        )
    return stored
