"""The protocol of a study: the splits of its runs, chosen by the number of images and the question.

1. Parts that the data names, or that the user gives, are respected.
2. If 30 % of the images are enough test images for the question, one holdout is drawn. It is as
   small as the question allows, but not below 10 %.
3. Otherwise folds are drawn, so that each image is tested once per repeat.

Each cell is an ordinary run: its split and seed are settings that `RunSpec` reads. A cell of the
search has the same train and val parts, without the test part (`split.hold_test_back`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Source
from poc.shared.data.splits.partition import groups_of
from poc.shared.data.splits.split import Split, make_split
from poc.shared.errors import UsageError
from poc.shared.shown_names import say
from poc.shared.spec.splits import SplitSpec

from .precision import Precision, images_needed, mean_group_size
from .question import Question
from .refusals import NUM_FOLDS, check_classes, check_enough, check_leaks

ProtocolKind = Literal["own", "holdout", "folds"]
SEARCH_SEEDS = (0, 1, 2)
"""Seeds of the search: the first for all candidates, all for the finalists, between which they
choose. Final runs have others, since the search promotes lucky networks."""
FIRST_SEED = len(SEARCH_SEEDS)
MIN_TEST_SHARE, MAX_TEST_SHARE = 0.1, 0.3
# Shares of the train part that validate, the first that leaves an example of each class in each.
VAL_SHARES = (0.2, 0.25, 1 / 3, 0.5)
MIN_FOLDS = 3
FEW_TEST_IMAGES = 100
"""With fewer test images, the protocol says what the study cannot tell."""


class Cell(NamedTuple):
    """One run of each finalist: its split, its seed, and its place in the folds."""

    split: SplitSpec
    seed: int
    repeat: int = 0
    fold: int = 0

    @property
    def search_split(self) -> SplitSpec:
        """Return the split without its test part, for runs that choose settings."""
        return self.split.model_copy(update={"hold_test_back": True})


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The runs of each finalist, and what they can tell.

    Attributes:
        kind: `own`: parts of the data or of the user; `holdout`, `folds`: drawn.
        cells: Runs of each finalist; the first repeat of the folds comes first.
        num_test_images: Test images of a repeat, over all of its folds.
        num_test_groups: Their groups; None without groups.
        precision: The expected precision of all cells together.
        notes: Sentences about the data that a reader should know.
    """

    kind: ProtocolKind
    cells: tuple[Cell, ...]
    num_test_images: int
    num_test_groups: int | None
    precision: Precision
    question: Question
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """Return the protocol in plain words: the parts, the precision, the limits."""
        return [*describe_parts(self), *describe_precision(self), *self.notes]


def choose_protocol(source: Source, question: Question) -> Protocol:
    """Choose the splits of a study.

    Raises:
        UsageError: The data cannot be studied; the message has one reason.
    """
    check_classes(source)
    groups = groups_of(source, find_pattern(question))
    own = find_own_split(source, question)
    if own is not None:
        split = make_split(source, own)
        check_own(split)
        return build("own", seeded(own, question), [split], question, groups)
    check_enough(source, groups)
    sizes = np.unique(groups, return_counts=True)[1].tolist() if groups is not None else [1]
    needed = images_needed(question.smallest_difference, mean_group_size(sizes))
    if needed <= MAX_TEST_SHARE * len(source):
        share = max(MIN_TEST_SHARE, math.ceil(100 * needed / len(source)) / 100)
        specs, splits = draw_first(source, list_holdouts(question, share))
        return build("holdout", seeded(specs[0], question), splits, question, groups)
    specs, splits = draw_first(source, list_folds(question))
    cells = []
    for place, spec in enumerate(specs):
        repeat = place // spec.num_folds
        cells.append(Cell(spec, FIRST_SEED + repeat, repeat, spec.fold))
    return build("folds", cells, splits, question, groups)


def find_pattern(question: Question) -> str | None:
    """Return the pattern of the groups: the question's, or that of the user's split."""
    own = question.split.group_pattern if question.split is not None else None
    return question.group_pattern or own


def find_own_split(source: Source, question: Question) -> SplitSpec | None:
    """Return the split by parts that the data or the user names; None if the study draws them."""
    if question.split is not None:
        return question.split
    if "test" not in source.partitions:
        return None
    share = {} if "val" in source.partitions else {"val_fraction": VAL_SHARES[0]}
    return SplitSpec(
        kind="published", group_pattern=find_pattern(question), seed=question.seed, **share
    )


def check_own(split: Split) -> None:
    """Refuse parts without validation or test images, and parts that share images or groups."""
    if split.spec.val_on_test:
        raise UsageError(
            "Got split.val_on_test=true for a study. Expected a validation part of its own, since "
            "test images decide nothing. Try split.val_on_test=false."
        )
    for part in ("val", "test"):
        if not len(split.parts[part]):
            raise UsageError(
                f"Got a split of {split.source.name!r} without {part} images. Expected some, since "
                "a study chooses on val and judges on test. Try leaving the split to the study."
            )
    check_leaks(split)


def seeded(spec: SplitSpec, question: Question) -> list[Cell]:
    """Return one cell per seed on the same split; on the folds of the user, one per fold."""
    if spec.kind == "kfold":
        folds = [spec.model_copy(update={"fold": fold}) for fold in range(spec.num_folds)]
        return [Cell(own, seed=FIRST_SEED, fold=own.fold) for own in folds]
    return [Cell(spec, seed=FIRST_SEED + place) for place in range(question.num_seeds)]


def list_holdouts(question: Question, share: float) -> Iterator[list[SplitSpec]]:
    """Yield splits with a test part of a share, in the order of preference."""
    for val_share in VAL_SHARES:
        val = round((1 - share) * val_share, 4)
        yield [
            SplitSpec(
                kind="fractions",
                fractions=(round(1 - share - val, 4), val, share),
                group_pattern=question.group_pattern,
                seed=question.seed,
            )
        ]


def list_folds(question: Question) -> Iterator[list[SplitSpec]]:
    """Yield all folds of all repeats, in the order of preference."""
    for num_folds in range(NUM_FOLDS, MIN_FOLDS - 1, -1):
        for val_share in VAL_SHARES:
            yield [
                SplitSpec(
                    kind="kfold",
                    num_folds=num_folds,
                    fold=fold,
                    val_fraction=val_share,
                    group_pattern=question.group_pattern,
                    # Each repeat draws folds of its own.
                    seed=(question.seed + repeat) % 2**32,
                )
                for repeat in range(question.num_repeats)
                for fold in range(num_folds)
            ]


def draw_first(
    source: Source, choices: Iterator[list[SplitSpec]]
) -> tuple[list[SplitSpec], list[Split]]:
    """Return the first choice of which every part has each class, with its splits.

    Raises:
        UsageError: There is none; the message is that of the first choice.
    """
    first: UsageError | None = None
    for specs in choices:
        try:
            return specs, [make_split(source, spec) for spec in specs]
        except UsageError as error:
            first = first or error
    raise first or UsageError("Got no split. Expected one. Try naming your own.")


def build(
    kind: ProtocolKind,
    cells: Sequence[Cell],
    splits: Sequence[Split],
    question: Question,
    groups: NDArray[np.str_] | None,
) -> Protocol:
    """Build the protocol of drawn splits; `groups` is (n,) text, the group of each example."""
    source = splits[0].source
    is_folds = cells[0].split.kind == "kfold"
    tested = np.arange(len(source)) if is_folds else splits[0].test
    sizes = [1] * len(tested)
    if groups is not None:
        sizes = np.unique(groups[tested], return_counts=True)[1].tolist()
    return Protocol(
        kind=kind,
        cells=tuple(cells),
        num_test_images=len(tested),
        num_test_groups=None if groups is None else len(sizes),
        precision=Precision(len(tested), len(cells), mean_group_size(sizes)),
        question=question,
        notes=tuple(note_copies(source) if kind != "own" else ()),
    )


def note_copies(source: Source) -> Iterator[str]:
    """Yield a warning of images that occur twice: a draw may put them into two parts."""
    num_copies = len(source) - len(set(source.digests))
    if num_copies:
        yield (
            f"{say(num_copies, 'image')} of {source.name} occur a second time and may be in two "
            "parts, which makes the test easier than new images: remove the copies."
        )


def describe_parts(protocol: Protocol) -> Iterator[str]:
    """Yield the sentence about the parts."""
    images = say(protocol.num_test_images, "image")
    if protocol.num_test_groups is not None:
        images += f" of {say(protocol.num_test_groups, 'group')}"
    spec, runs = protocol.cells[0].split, say(len(protocol.cells), "run")
    if spec.kind == "kfold":
        repeats = 1 + max(cell.repeat for cell in protocol.cells)
        again = f", {repeats} times with other folds" if repeats > 1 else ""
        yield (
            f"{spec.num_folds} folds: each of {images} is tested once{again}; {runs} per finalist."
        )
        return
    whose = "its own test part" if protocol.kind == "own" else "one test part"
    yield f"The data has {whose} of {images}; {runs} per finalist."


def describe_precision(protocol: Protocol) -> Iterator[str]:
    """Yield what the study can tell, and, if the images are few, what it cannot."""
    precision, wanted = protocol.precision, protocol.question.smallest_difference
    yield (
        f"A 95 % interval will be about ±{100 * precision.half_width:.1f} points wide at an "
        f"accuracy of 0.8, and a difference of {100 * precision.smallest_shown:.1f} points would "
        "be shown in four studies of five."
    )
    if precision.smallest_shown > wanted:
        needed = images_needed(wanted, precision.group_size)
        yield (
            f"This study cannot reliably tell methods apart that differ by {100 * wanted:g} points"
            f"{advise(precision, needed)}."
        )
    if protocol.num_test_images < FEW_TEST_IMAGES:
        yield (
            f"With fewer than {FEW_TEST_IMAGES} test images only large differences can be seen: "
            "take the result as a hint."
        )


def advise(precision: Precision, needed: int) -> str:
    """Return what is missing for the question: test images, or else runs."""
    if needed > precision.num_images:
        return f", for which about {needed:,} test images are needed"
    return ", for which more seeds are needed"
