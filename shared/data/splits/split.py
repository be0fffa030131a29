"""Splits into train, validation and test, with a definition that can be stored and compared.

The draw of examples is in `partition`, the forms of files in `files`, the check that each part has
each class in `class_check`, that no setting is ignored in `setting_check`, and the checks for
content in two parts in `leaks`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from poc.shared.data.sources.base import PARTITIONS, Indices, Parts, Source
from poc.shared.errors import UsageError
from poc.shared.files.cache import expand_home
from poc.shared.shown_names import say
from poc.shared.spec.data import SplitSpec

from .class_check import check_classes
from .files import (
    FORMAT,
    NUM_DIGITS,
    as_indices,
    check_source,
    edited,
    parse_definition,
    parse_list,
    positions_of,
    read_list,
)
from .partition import choose_draw, group_by_class, groups_of, sample_groups, stratify
from .setting_check import check_settings, choose_kind


@dataclass(frozen=True, eq=False)
class Split:
    """Three parts of one source.

    Attributes:
        source: Where the examples come from.
        spec: The definition that made the parts.
        train: (k,) int64 positions in the source, ascending.
        val: The same; may be empty, and equals `test` under `val_on_test`.
        test: The same; may be empty.
    """

    source: Source
    spec: SplitSpec
    train: Indices
    val: Indices
    test: Indices

    @property
    def parts(self) -> Parts:
        """Return the positions of each part: name -> (k,) int64."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def train_alone(self) -> "Split":
        """Return the train part without the others, for work that may not see them."""
        return replace(self, val=self.val[:0], test=self.test[:0])

    @property
    def part_ids(self) -> dict[str, list[str]]:
        """Return the ids of each part, in the order of the source."""
        ids = self.source.ids
        return {part: [ids[index] for index in indices] for part, indices in self.parts.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Compute the sha256 over the ids of each part, in any order."""
        content = {part: sorted(ids) for part, ids in self.part_ids.items()}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def to_json(self) -> str:
        """Return a readable definition: spec, counts, ids and content hashes of the examples."""
        columns = self.source.columns
        digests = zip(self.source.ids, self.source.digests, strict=True)
        definition = {
            "format": FORMAT,
            "source": self.source.name,
            "spec": self.spec.model_dump(mode="json"),
            "fingerprint": self.fingerprint,
            "counts": {part: len(indices) for part, indices in self.parts.items()},
            **self.part_ids,
            **({} if columns is None else {"columns": columns.model_dump(mode="json")}),
            "contents": {name: digest[:NUM_DIGITS] for name, digest in digests},
        }
        return json.dumps(definition, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: Source) -> Self:
        """Rebuild a stored split by the ids of `source`.

        Raises:
            UsageError: The text is no split, was edited, or the source has changed.
        """
        stored = parse_definition(text)
        check_source(stored.contents, source)
        position = positions_of(source)
        unknown = [
            name for part in PARTITIONS for name in stored.parts[part] if name not in position
        ]
        if unknown:
            raise edited(f"names {unknown[0]!r} in a part and not in its contents")
        parts = {
            part: as_indices(position[name] for name in stored.parts[part]) for part in PARTITIONS
        }
        split = cls(source, SplitSpec.parse(stored.spec, "split"), **parts)
        if split.fingerprint != stored.fingerprint:
            raise edited(
                f"has ids with the fingerprint {split.fingerprint[:12]}, not the stored "
                f"{stored.fingerprint[:12]}"
            )
        return split


def make_split(source: Source, spec: SplitSpec) -> Split:
    """Split a source as the definition says.

    Raises:
        UsageError: The source does not publish the part that is needed, a setting would do nothing
            with its parts, a part lacks a class that it should have, or fewer examples exist than
            requested.
    """
    check_settings(source, spec)
    kind = choose_kind(source, spec)
    parts = MAKERS[kind](source, spec)
    parts["train"] = sample_train(source, spec, parts["train"])
    meant = {part for part, indices in parts.items() if len(indices)} | {"train"}
    if kind == "fractions":
        meant |= {part for part, share in zip(PARTITIONS, spec.fractions, strict=True) if share}
    if kind in ("published", "kfold") and (spec.val_fraction or spec.val_on_test):
        meant.add("val")
    # A list is taken with the classes that it has: its author chose every example.
    if kind != "listed":
        for part in sorted(meant):
            check_classes(source, spec, kind, part, parts[part])
    if spec.hold_test_back:
        # After the draw and its checks, so that train and val are those of the split with a test.
        parts["test"] = parts["test"][:0]
    return Split(source, spec, **{part: np.sort(parts[part]) for part in PARTITIONS})


def published(source: Source, spec: SplitSpec) -> Parts:
    """Take the source's own parts; val is the published one, the test part, or drawn from train."""
    train, test = published_part(source, "train"), published_part(source, "test")
    if spec.val_on_test:
        return {"train": train, "val": test, "test": test}
    if "val" in source.partitions:
        return {"train": train, "val": source.partitions["val"], "test": test}
    shares = (1 - spec.val_fraction, spec.val_fraction)
    train, val = choose_draw(source, spec)(train, shares, f"{spec.seed}/val")
    return {"train": train, "val": val, "test": test}


def fractions(source: Source, spec: SplitSpec) -> Parts:
    """Pool all examples and split them again."""
    everything = np.arange(len(source), dtype=np.int64)
    parts = choose_draw(source, spec)(everything, spec.fractions, f"{spec.seed}/fractions")
    return dict(zip(PARTITIONS, parts, strict=True))


def kfold(source: Source, spec: SplitSpec) -> Parts:
    """Pool all examples; one fold becomes test, and val is drawn from the other folds."""
    # The folds' salt has no fold number: each run of a cross-validation must draw the same folds.
    draw = choose_draw(source, spec)
    everything = np.arange(len(source), dtype=np.int64)
    folds = draw(everything, [1 / spec.num_folds] * spec.num_folds, f"{spec.seed}/folds")
    refuse_empty(source, spec, folds)
    test = folds.pop(spec.fold)
    shares = (1 - spec.val_fraction, spec.val_fraction)
    train, val = draw(np.sort(np.concatenate(folds)), shares, f"{spec.seed}/fold {spec.fold}")
    return {"train": train, "val": val, "test": test}


def refuse_empty(source: Source, spec: SplitSpec, folds: Sequence[Indices]) -> None:
    """Refuse folds of which some, whichever tests, would have nothing to test.

    Args:
        source: The images.
        spec: The rule.
        folds: Indices (k,) int64 of each fold.

    Raises:
        UsageError: A fold is empty; the message counts the groups.
    """
    num_filled = sum(len(fold) > 0 for fold in folds)
    if num_filled == len(folds):
        return
    groups = groups_of(source, spec.group_pattern)
    count, unit = (len(source), "image") if groups is None else (len(set(groups)), "group")
    fewer = f"split.num_folds={num_filled}, or " if num_filled > 1 else ""
    raise UsageError(
        f"Got split.num_folds={spec.num_folds} for {source.name!r}, which has {say(count, unit)} "
        f"and nothing for {say(len(folds) - num_filled, 'fold')}. Expected images in every fold, "
        f"since each tests once. Try {fewer}more {unit}s."
    )


def holdout(source: Source, spec: SplitSpec) -> Parts:
    """Take the first examples of the published train part for validation, without a draw."""
    train, test = published_part(source, "train"), published_part(source, "test")
    if spec.num_val_examples >= len(train):
        raise UsageError(
            f"Got split.num_val_examples={spec.num_val_examples} for {source.name!r}. Expected "
            f"1 to {len(train) - 1}, below its train examples. Try lowering it."
        )
    return {
        "train": train[spec.num_val_examples :],
        "val": train[: spec.num_val_examples],
        "test": test,
    }


def listed(source: Source, spec: SplitSpec) -> Parts:
    """Read the parts from a file: a stored definition, or a CSV of ids and parts."""
    path = expand_home(spec.file or "")
    try:
        text = read_list(path)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Got split.file={spec.file!r}, which cannot be read ({error}). Expected a file of "
            "`poc data split` or a CSV with the columns id and part. Try correcting the path."
        ) from None
    if text.lstrip().startswith("{"):
        return Split.from_json(text, source).parts
    return parse_list(text, source)


MAKERS = {
    "published": published,
    "fractions": fractions,
    "kfold": kfold,
    "holdout": holdout,
    "listed": listed,
}


def published_part(source: Source, part: str) -> Indices:
    """Return the positions of a published part, (k,) int64.

    Raises:
        UsageError: The source does not publish it; the message names the alternative.
    """
    if part not in source.partitions:
        raise UsageError(
            f"Got a split that needs the published {part} part, but {source.name!r} publishes "
            f"{sorted(source.partitions) or 'none'}. Expected split.kind=fractions. Try setting it."
        )
    return source.partitions[part]


def sample_train(source: Source, spec: SplitSpec, train: Indices) -> Indices:
    """Draw the stratified sample of the train part, (k,) int64, if the definition asks for one.

    A smaller sample is a part of a larger one.
    """
    salt = f"{spec.seed}/sample"
    if spec.train_sample is not None:
        groups = groups_of(source, spec.group_pattern)
        if groups is not None:
            return sample_groups(source, groups, train, spec.train_sample, salt)
        return stratify(source, train, (spec.train_sample, 1 - spec.train_sample), salt)[0]
    if spec.train_per_class is None:
        return train
    if source.is_multi_label:
        raise UsageError(
            f"Got split.train_per_class={spec.train_per_class} for {source.name!r}, whose images "
            "have any number of labels. Expected one class per image with it. Try "
            "split.train_sample, a share of the train part."
        )
    members = group_by_class(source, train, salt)
    for label, indices in members.items():
        if len(indices) < spec.train_per_class:
            raise UsageError(
                f"Got split.train_per_class={spec.train_per_class}, but class "
                f"{source.class_names[label]!r} has {len(indices)} train examples in "
                f"{source.name!r}. Expected at most {len(indices)}. Try lowering it."
            )
    return np.concatenate([indices[: spec.train_per_class] for indices in members.values()])
