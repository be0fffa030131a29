"""The limits of a card: how far its figures can be trusted, and what nobody has tested."""

from collections.abc import Iterator

import numpy as np

from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.statistics.intervals import majority_share
from poc.shared.analysis.verdicts.findings import list_names, name_answer
from poc.shared.engine.numerics.answers import Labels, judge
from poc.shared.engine.numerics.metrics import wilson_interval
from poc.shared.shown_names import say

from .subject import Subject

# A recall or a precision of fewer images is mostly chance.
FEW_IMAGES = 20


def list_limits(subject: Subject) -> Iterator[str]:
    """Yield a sentence or two per limit."""
    judged = f"The network is that {subject.kept_epoch}, and no test image has judged it."
    if subject.is_training:
        yield f"The run is still training. {judged}"
    elif subject.status != "finished":
        yield (
            f"The run has the status {subject.status!r}: its training did not end as planned. "
            f"{judged}"
        )
    if subject.predictions is not None and subject.answers is not None:
        yield from judge_figures(subject, subject.predictions, subject.answers)
        yield from judge_classes(subject, subject.predictions)
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


def judge_figures(subject: Subject, found: Predictions, answers: Labels) -> Iterator[str]:
    """Yield how wide the intervals of the given answers are, and the majority baseline.

    Args:
        subject: The run.
        found: Its test images.
        answers: (N,) classes, -1 for none; or (N, C), 1 for each label.
    """
    is_given = np.ones(len(answers), dtype=np.bool_) if answers.ndim == 2 else answers >= 0
    given, labels, total = answers[is_given], found.labels[is_given], len(answers)
    if not len(given):
        yield f"None of {say(total, 'test image')} is sure enough for an answer."
        return
    low, high = wilson_interval(int(judge(given, labels).sum()), len(given))
    is_choosy = len(given) < total
    some = f", and {len(given):,} of them get an answer" if is_choosy else ""
    of_it = "the accuracy of these answers" if is_choosy else "the accuracy"
    if subject.is_multi_label:
        of_it = "the share of images whose every label is right"
    yield (
        f"The test part has {say(total, 'image')}{some}: chance alone leaves {of_it} anywhere from "
        f"{low:.3f} to {high:.3f} (95 %)."
    )
    constant, share = majority_share(labels)
    name = name_answer(constant, subject.class_names)
    images = "of these images" if is_choosy else "of the test images"
    than = f"always answering “{name}”, which is right for {share:.3f} {images}"
    shown = "is better" if low > share else "is not shown to be better"
    yield f"The network {shown} than {than}."
    if len(np.unique(given, axis=0)) == 1:
        which = "answered test image" if is_choosy else "test image"
        yield f"The network gives every {which} the same answer."


def judge_classes(subject: Subject, found: Predictions) -> Iterator[str]:
    """Yield the classes of few images."""
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
