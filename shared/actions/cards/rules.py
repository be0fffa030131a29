"""The rules of a run's images in plain words: how they are split, resized and normalised."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from poc.shared.analysis.runs.split_kind import find_kind
from poc.shared.spec.data import DataSpec
from poc.shared.spec.splits import READ_BY, SplitSpec

from .subject import Subject

# The rule of a resize to height x width pixels.
RESIZES: Mapping[str, str] = {
    "squash": "to the size, whatever the ratio of the sides",
    "shorter_side": "by the shorter side, with the ratio of the sides",
    "height": "by the height, with the ratio of the sides",
    "fit": "to fit in full, with the ratio of the sides, and padded",
}
CROPS: Mapping[str, str] = {
    "none": "",
    "centre": "the centre is cut out",
    "five": "five crops are cut out, the corners and the centre",
    "ten": "ten crops are cut out, the corners and the centre, also of the mirror image",
}
NORMALIZATIONS: Mapping[str, str] = {
    "unit": "values from 0 to 1 (divided by 255)",
    "torch": "values from 0 to 1, minus ImageNet's mean and over its deviation",
    "tf": "values from -1 to 1 (divided by 127.5, minus 1)",
    "caffe": "values from 0 to 255 in the order BGR, minus ImageNet's mean",
    "none": "values from 0 to 255",
}


def describe_view(data: DataSpec) -> str:
    """Return how an image is brought to the network's size and values."""
    view = data.eval_view
    steps = [f"resized {RESIZES[view.resize]} ({data.interpolation} filter)"]
    if view.crop != "none":
        steps.append(f"{CROPS[view.crop]} ({view.crop_share:g} of the resized side)")
    if view.crop in ("five", "ten"):
        mean = "probabilities" if view.average == "softmax" else "logits"
        steps.append(f"the answer is by the mean of their {mean}")
    return "; ".join([*steps, NORMALIZATIONS[data.normalization]])


def describe_split(subject: Subject) -> str:
    """Return the rule of the split, with the numbers that it used."""
    split, notes = subject.spec.data.split, subject.record.data.get("notes")
    kind = find_kind(split.kind, notes if isinstance(notes, list) else None)
    parts = [describe_kind(split, kind), *list_conditions(split, kind), f"seed {split.seed}"]
    return ", ".join(parts)


def describe_kind(split: SplitSpec, kind: str) -> str:
    """Return what divides the images."""
    train, val, test = (f"{share:g}" for share in split.fractions)
    part = f"{split.val_fraction:g} of"
    published = f"the published parts (without a validation part, {part} the training part)"
    if split.val_on_test:
        published = "the published parts; the test part also validates"
    return {
        "published": published,
        "fractions": f"drawn shares of {train} (train), {val} (val) and {test} (test)",
        "holdout": "the published test part; the first "
        f"{split.num_val_examples:,} training images validate",
        "kfold": f"fold {split.fold} of {split.num_folds} (counted from 0) tests, {part} the other "
        "folds validates",
        "listed": f"the parts that {Path(split.file or '').name} lists",
    }.get(kind, f"the published parts, or without any, shares of {train}, {val} and {test}")


def list_conditions(split: SplitSpec, kind: str) -> Iterator[str]:
    """Yield what a draw keeps, and how much of the training part trains."""
    if kind in READ_BY["is_stratified"]:
        yield "each class in equal shares" if split.is_stratified else "without regard to classes"
    if split.group_pattern is not None:
        yield "no group divided"
    if split.train_sample is not None:
        yield f"{split.train_sample:g} of the training part trains"
    if split.train_per_class is not None:
        yield f"{split.train_per_class:,} images of each class train"
    if split.hold_test_back:
        yield "the test part left out"
