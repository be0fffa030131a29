"""A run's data: its source, split and pipelines, and the settings that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from poc.shared.data.batches.pipeline import WHOLE, Pipeline, ReadOptions, Shard
from poc.shared.data.sources.base import Source
from poc.shared.data.sources.class_folders.listing import count_suffixes, describe_ignored
from poc.shared.data.sources.inspection import KeptNotes, Note
from poc.shared.data.splits.leaks import Leak, find_leaks, note_leaks, summarise_leaks
from poc.shared.data.splits.relabelling import open_classes
from poc.shared.data.splits.setting_check import drop_unread
from poc.shared.data.splits.split import Split, make_split
from poc.shared.engine.folder.record import RunRecord
from poc.shared.errors import CheckFailed
from poc.shared.shown_names import say
from poc.shared.spec.data import DEFAULT_IMAGE_SIZE, DataSpec
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.run import RunSpec

from .filled_settings import fill_class_weights, fill_loss, fill_open, fill_stored_images

# `run.json` counts everything and names only so many, so that one bad folder does not swell it.
NUM_NAMED = 100
NUM_NAMED_LEAKS = 10


class Pipelines(NamedTuple):
    """Batches of a run's parts, as in `RunData`."""

    train: Pipeline
    val: Pipeline | None
    test: Pipeline | None
    train_as_evaluated: Pipeline | None


@dataclass(kw_only=True)
class RunData:
    """Opened data of one run; a context manager that ends its worker processes.

    Attributes:
        source: Where the examples come from.
        split: Examples that train, validate and test.
        train: Batches of the training part.
        val: Batches of the validation part; None if the split has none.
        test: Batches of the test part; None if the split has none.
        shown: Settings that the three pipelines were made with.
        train_as_evaluated: The training part in the evaluation view, if the run computes exact
            batch-norm statistics from it.
        notes: Sentences about choices made for the user, and about steps that take long.
        leaks: Contents and groups that are in two parts of the split.
        shard: Share of every batch of the training and the validation part that is read.
    """

    source: Source
    split: Split
    train: Pipeline
    val: Pipeline | None
    test: Pipeline | None
    shown: DataSpec
    train_as_evaluated: Pipeline | None = None
    notes: Sequence[str] = ()
    leaks: Sequence[Leak] = ()
    shard: Shard = WHOLE

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        for pipeline in (self.train, self.val, self.test, self.train_as_evaluated):
            if pipeline is not None:
                pipeline.close()

    def show(self, run: RunSpec) -> None:
        """Make the pipelines show the images as a stage of the run sees them; keep the split."""
        if run.data != self.shown:
            self._make(run)

    def share_out(self, run: RunSpec, shard: Shard) -> None:
        """Read from now on another share of the batches, in the same view."""
        if shard != self.shard:
            self.shard = shard
            self._make(run)

    def _make(self, run: RunSpec) -> None:
        # Otherwise the reading processes of the old pipelines would live on, with their batches.
        self.close()
        made = make_pipelines(self.source, self.split, run, self.shard)
        self.train, self.val, self.test, self.train_as_evaluated = made
        self.shown = run.data

    def describe(self) -> dict[str, Any]:
        """Describe the data for `run.json`."""
        source, skipped = self.source, self.source.unreadable
        return {
            "source": source.name,
            "source_fingerprint": source.fingerprint,
            "split_fingerprint": self.split.fingerprint,
            "counts": {part: len(indices) for part, indices in self.split.parts.items()},
            "class_names": list(source.class_names),
            "num_skipped": len(skipped),
            "skipped": dict(list(skipped.items())[:NUM_NAMED]),
            "empty_classes": list(source.empty_classes),
            "num_ignored": len(source.ignored),
            "ignored": count_suffixes(source.ignored),
            "unused_folders": list(source.unused),
            "leaks": summarise_leaks(self.leaks, NUM_NAMED_LEAKS),
            "notes": list(self.notes),
        }


def open_data(
    run: RunSpec,
    note: KeptNotes,
    record: RunRecord | None = None,
    *,
    is_resumed: bool = False,
    is_train_alone: bool = False,
) -> tuple[RunSpec, RunData]:
    """Open a run's data, and fill in the settings that follow from it.

    These are the images' shape, the number of classes, and the settings that the run leaves to the
    recipe.

    Args:
        run: The run; its `data` names the source.
        note: Called with each note when it comes up; keeps them for `RunData.notes`.
        record: Record of the finished run whose data this must be; None for a new run.
        is_resumed: The run goes on. It may have split settings that do nothing, from when these
            were not refused.
        is_train_alone: Open the train part alone: no image of another part is read, not even to
            compare their contents.

    Returns:
        The completed run, and its opened data, which the caller closes.

    Raises:
        UsageError: The source, the split or the images do not fit the spec, or the record.
    """
    source = open_classes(run.data, note)
    if record is not None:
        source = record.match_classes(source, note)
    run = choose_size(run, source, note)
    # A finished run keeps its own parts: a new split could test on images that it trained on.
    asked = drop_unread(source, run.data.split) if is_resumed else run.data.split
    split = (
        make_split(source, asked)
        if record is None
        else record.find_split(source, run.data.split, note)
    )
    if record is None and run.data.split.kind == "auto" and not source.partitions:
        shares = ", ".join(f"{share:g}" for share in run.data.split.fractions)
        note(
            f"{source.name} publishes no parts: it is split into shares of {shares} (data.split "
            "sets others)."
        )
    run = fill_loss(fill_open(run, split), source, note)
    run = fill_stored_images(fill_class_weights(run, split, note), len(split.train))
    if is_train_alone:
        split = split.train_alone()
    leaks = [] if is_train_alone else find_leaks(split)
    tell_trouble(source, note_leaks(split, leaks), note)
    made = make_pipelines(source, split, run)
    data = RunData(
        source=source, split=split, shown=run.data, notes=note.texts, leaks=leaks, **made._asdict()
    )
    filled = run.replace(input_shape=data.train.image_shape, num_classes=len(source.class_names))
    return filled, data


def tell_trouble(source: Source, leak_note: str, tell: Note) -> None:
    """Report faults of the data that the user has to know about without asking."""
    for remark in source.remarks:
        tell(remark)
    if source.ignored:
        ignored = describe_ignored(source.ignored)
        tell(f"Ignored in {source.name}: {ignored}; poc data describe names them.")
    if source.unreadable or source.empty_classes:
        tell(
            f"Left out: {say(len(source.unreadable), 'unreadable path')} and "
            f"{say(len(source.empty_classes), 'empty class')} (run.json names them)."
        )
    if leak_note:
        tell(leak_note)


def make_pipelines(source: Source, split: Split, run: RunSpec, shard: Shard = WHOLE) -> Pipelines:
    """Make the pipelines of the three parts, in the run's views.

    The training and the validation part are read in shares. The test part is not: rank 0 alone
    reads it, at the end.

    Raises:
        CheckFailed: A training example is also in the validation or the test part.
    """
    # Parts come from rules, from lists and from records; this one check covers all of them.
    shared = np.intersect1d(split.train, np.concatenate([split.val, split.test]))
    if len(shared):
        raise CheckFailed(
            f"Got {len(shared)} training examples that also validate or test, the first is "
            f"{source.ids[int(shared[0])]!r}. Expected each example in one part. Try correcting "
            "the split."
        )
    read = ReadOptions(shard=shard)
    train = Pipeline(source, split.train, run.data, seed=run.seed, is_training=True, read=read)
    val = Pipeline(source, split.val, run.data, read=read) if len(split.val) else None
    test = Pipeline(source, split.test, run.data) if len(split.test) else None
    plain = Pipeline(source, split.train, run.data) if run.norm_statistics == "exact" else None
    return Pipelines(train, val, test, plain)


def choose_size(run: RunSpec, source: Source, tell: Note) -> RunSpec:
    """Set the size of the images if the method has its own, or if they differ and none is set."""
    # FixRes tests at a size of its own; the pipelines begin with it and change by stage.
    side = find_method(run.method).image_side(run.method_settings)
    if side is not None:
        return run.replace(data={**run.data.model_dump(mode="json"), "image_size": [side, side]})
    if source.image_shape is not None or run.data.image_size is not None:
        return run
    height, width = DEFAULT_IMAGE_SIZE
    tell(
        f"The images of {source.name} differ in size: resized to {height}x{width} "
        "(data.image_size sets another size)."
    )
    return run.replace(
        data={**run.data.model_dump(mode="json"), "image_size": list(DEFAULT_IMAGE_SIZE)}
    )
