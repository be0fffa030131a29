"""The limits of a card: how far its figures can be trusted, and what nobody has tested."""

from collections.abc import Iterator

import numpy as np

from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.verdicts.findings import baseline, list_names
from poc.shared.engine.numerics.metrics import wilson_interval
from poc.shared.shown_names import say

from .subject import Subject

# A recall or a precision of fewer images is mostly chance.
FEW_IMAGES = 20


def list_limits(subject: Subject) -> Iterator[str]:
    """Yield a sentence or two per limit."""
    if subject.status != "finished":
        yield (
            f"The run has the status {subject.status!r}: its training did not end as planned. The "
            "network is that of the best epoch so far, and no test image has judged it."
        )
    if subject.predictions is not None:
        yield from judge_figures(subject, subject.predictions)
    yield from judge_split(subject)
    if subject.decision is None:
        yield "Probabilities are as trained; no temperature and no threshold was fitted."
    yield (
        f"It is one network, trained once with the seed {subject.spec.seed}. Another seed gives "
        "other weights and somewhat other figures."
    )
    yield (
        "Test images are from the same source as the training images. Pictures of other cameras, "
        "places, times or groups of people were not tested."
    )
    # A set of labels may be empty.
    if not subject.is_multi_label and not (subject.decision and subject.decision.rejection):
        yield (
            "Every image gets one of the classes, also an image that shows none of them. No least "
            "confidence was chosen (poc calibrate --answered-accuracy)."
        )


def judge_figures(subject: Subject, found: Predictions) -> Iterator[str]:
    """Yield how wide the intervals are, the majority baseline, and classes of few images."""
    hits, total = int(found.hits.sum()), len(found.labels)
    low, high = wilson_interval(hits, total)
    yield (
        f"The test part has {say(total, 'image')}: chance alone leaves the accuracy anywhere from "
        f"{low:.3f} to {high:.3f} (95 %)."
    )
    constant = baseline(subject.group) if subject.group else None
    if constant is not None:
        name, share = constant
        of_it = f"always answering “{name}”, which is right for {share:.3f} of the test images"
        if low > share:
            yield f"The network is better than {of_it}."
        else:
            yield f"The network is not shown to be better than {of_it}."
    if len(np.unique(found.predicted, axis=0)) == 1:
        yield "The network gives every test image the same answer."
    counts = [int(found.truths(place).sum()) for place in range(len(subject.class_names))]
    few = [name for name, n in zip(subject.class_names, counts, strict=True) if n < FEW_IMAGES]
    if few:
        shown = list_names(few) if len(few) <= FEW_IMAGES else f"{len(few):,} classes"
        yield f"Fewer than {FEW_IMAGES} test images show {shown}: their figures are mostly chance."


def judge_split(subject: Subject) -> Iterator[str]:
    """Yield what the split cannot exclude."""
    split, data = subject.spec.data.split, subject.spec.data
    if split.val_on_test:
        yield "The test images also chose the epoch, so the figures are too high."
    if split.kind == "kfold":
        yield (
            f"The run is fold {split.fold} of {split.num_folds} (counted from 0) of a "
            "cross-validation: the figures are those of its own test fold, and the networks of the "
            "other folds are other runs."
        )
    if split.group_pattern is None and data.columns.group is None:
        yield (
            "No groups, such as the images of one patient, were named. If several images show the "
            "same thing, some of them may have trained the network and others tested it."
        )
    leaks = subject.record.data.get("leaks")
    known = leaks if isinstance(leaks, dict) else {}
    if known.get("num_contents"):
        yield (
            f"{known['num_contents']:,} images, or copies of them, are in more than one part of "
            "the data."
        )
    if known.get("num_groups"):
        yield f"{known['num_groups']:,} groups are in more than one part of the data."
