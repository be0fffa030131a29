"""The answers for the validation part, if a decision may be fitted on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from poc.shared.data.sources.npz import read_archive
from poc.shared.engine.folder.decision import CHECKPOINT, digest_checkpoint
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS
from poc.shared.errors import UsageError

from .predictions import Predictions, read_predictions
from .split_kind import find_kind

# With fewer images a temperature or a threshold is mostly chance.
MIN_IMAGES, MIN_IMAGES_PER_CLASS = 20, 10


def read_finished(folder: Path) -> RunRecord:
    """Read the record of a finished run.

    Raises:
        UsageError: The run has not finished, or its weights are missing.
    """
    record = RunRecord.read(folder)
    status = record.content.get("status")
    if status != "finished" or not record.class_names:
        raise UsageError(
            f"Got the run {str(folder)!r} with status={status!r}. Expected a finished one, whose "
            f"weights no longer change. Try `poc run --resume {folder}` first."
        )
    if not (weights := folder / "checkpoints" / f"{CHECKPOINT}.safetensors").is_file():
        raise UsageError(
            f"Got the run {str(folder)!r} without {weights.name}. Expected the weights that the "
            "decision is made for. Try restoring the file."
        )
    return record


def read_validation(record: RunRecord) -> Predictions:
    """Read the answers for the validation part.

    Raises:
        UsageError: There are none, they are those for the test part, or other weights gave them.
    """
    folder = record.folder
    if record.spec.data.split.val_on_test:
        raise UsageError(
            f"Got the run {str(folder)!r}, whose validation part is its test part "
            "(split.val_on_test). Expected a validation part of its own, since a fit on test "
            "images makes the figures of the test too good. Try training with --set "
            "split.val_on_test=false."
        )
    found = read_predictions(folder, len(record.class_names), VALIDATION_PREDICTIONS)
    if found is not None:
        check_weights(folder)
        return found
    counts = record.data.get("counts")
    has_part = isinstance(counts, dict) and counts.get("val")
    if not has_part:
        raise UsageError(
            f"Got the run {str(folder)!r}, which has no validation part. Expected one, since a "
            "decision is never fitted on test images. Try training with a larger "
            f"{name_val_share(record)}."
        )
    raise UsageError(
        f"Got the run {str(folder)!r} without {VALIDATION_PREDICTIONS}: it is from a version that "
        "kept no answers for the validation part. Expected this file. Try training again in a new "
        "folder."
    )


def check_weights(folder: Path) -> None:
    """Refuse answers that other weights than the run's present ones gave.

    Runs from before 2026-11-29 noted no digest; these are accepted.

    Raises:
        UsageError: See above.
    """
    digest = read_archive(folder / VALIDATION_PREDICTIONS).get("weights_sha256")
    if digest is not None and str(digest) != digest_checkpoint(folder):
        raise UsageError(
            f"Got the run {str(folder)!r}, whose {CHECKPOINT}.safetensors is not the file that its "
            f"{VALIDATION_PREDICTIONS} was computed with. Expected the weights of the run, since a "
            "decision holds for these alone. Try restoring the file, or training again."
        )


def check_independent(validation: Predictions, test: Predictions | None) -> None:
    """Refuse validation images that are also test images.

    Raises:
        UsageError: Both parts share ids.
    """
    shared = np.intersect1d(validation.ids, test.ids) if test else np.array([])
    if len(shared):
        raise UsageError(
            f"Got a validation part that shares {len(shared):,} images with the test part (the "
            f"first is {str(shared[0])!r}). Expected parts without common images. Try "
            "training with --set split.kind=fractions."
        )


def name_val_share(record: RunRecord) -> str:
    """Return the setting that decides how many images of a run validate, by its kind of split."""
    notes = record.data.get("notes")
    kind = find_kind(record.spec.data.split.kind, notes if isinstance(notes, list) else None)
    settings = {
        "fractions": "second share in split.fractions",
        "holdout": "split.num_val_examples",
        "listed": "val part in split.file",
    }
    return settings.get(kind, "split.val_fraction")


def check_enough(
    validation: Predictions, names: Sequence[str], position: int | None, val_share: str
) -> None:
    """Refuse to fit on too few images.

    Args:
        validation: Answers for the validation part.
        names: Class names.
        position: Position of the positive class; None without one.
        val_share: Setting that decides how many images validate.

    Raises:
        UsageError: Images have any number of labels, there are fewer than 20 images, or, with a
            positive class, fewer than 10 of one of both classes.
    """
    if validation.is_multi_label:
        raise UsageError(
            "Got a run whose images have any number of labels. Expected one class per image, for "
            "which alone a decision is made. Try `poc report`, which shows the rates of each label."
        )
    counts = np.bincount(validation.labels, minlength=len(names))
    listed = ", ".join(f"{count} of {name!r}" for name, count in zip(names, counts, strict=True))
    if position is not None and counts.min() < MIN_IMAGES_PER_CLASS:
        raise UsageError(
            f"Got validation images of {listed}. Expected at least {MIN_IMAGES_PER_CLASS} of each "
            f"class, since fewer show mostly chance. Try a larger {val_share}, or more images."
        )
    if counts.sum() < MIN_IMAGES:
        raise UsageError(
            f"Got {counts.sum()} validation images. Expected at least {MIN_IMAGES}, since fewer "
            f"show mostly chance. Try a larger {val_share}, or more images."
        )
