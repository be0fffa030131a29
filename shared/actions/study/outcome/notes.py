"""Sentences about a study's cells, and about what the budget or a failure left out."""

from collections.abc import Mapping, Sequence

from poc.shared.actions.study.candidates import MAJORITY, SMALL_PUBLISHED
from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.finals import MAX_FINALISTS
from poc.shared.actions.study.jobs import Job, Trial
from poc.shared.actions.study.search import Searches
from poc.shared.actions.study.searching.failures import is_late
from poc.shared.analysis.study.decision import Decision
from poc.shared.analysis.verdicts.phrases import FRAMEWORKS
from poc.shared.engine.launch.imagenet import IMAGENET_OF

from .collection import keep_full
from .learning import is_smaller


def describe_end(trial: Trial, clock: Clock) -> str:
    """Return one line about a cell that has ended."""
    job, outcome = trial
    result = f"validation accuracy {outcome.accuracy:.4f}"
    if not outcome.is_finished:
        result = f"{outcome.status}: {outcome.error}"
    return f"{clock.now:5.0f} s  {job.key}: {result}, {outcome.seconds:.1f} s"


def warn(search: Searches, decision: Decision) -> list[str]:
    """Return sentences about what the budget or a failure left out."""
    found = []
    if decision.recommended.candidate == MAJORITY and len(decision.candidates) > 1:
        found.append(
            "No tested candidate did better on validation images than naming the largest class."
        )
    found += count_late(search.skipped)
    protocol, ended = search.protocol, search.cells.ended
    finals = [
        trial.job
        for trial in ended
        if trial.job.phase == "finals" and trial.outcome.is_finished and not is_smaller(trial.job)
    ]
    full = keep_full(finals)
    ranked = {trial.job.candidate.name for trial in search.ranked()}
    tested = {job.candidate.name for job in full}
    rows = {(job.candidate.name, job.backend) for job in finals}
    rows -= {(job.candidate.name, job.backend) for job in full}
    if rows:
        names = ", ".join(f"{name} in {FRAMEWORKS[backend]}" for name, backend in sorted(rows))
        found.append(f"Left out, since the time did not reach for all splits: {names}.")
    if len(ranked) > len(tested):
        found.append(count_tested(len(ranked), len(tested)))
    if len(search.each) == 1:
        found += name_single(full)
    found += name_shortened(full)
    if decision.num_test_images < protocol.num_test_images:
        found.append(
            f"The time was over when {decision.num_test_images:,} of "
            f"{protocol.num_test_images:,} images were tested."
        )
    if len({job.backend for job in full}) == 1:
        name = FRAMEWORKS[full[0].backend]
        found.append(f"All finalists ran in {name} alone, so the frameworks are not compared.")
    return found


def name_shortened(finals: Sequence[Job]) -> list[str]:
    """Return a sentence about finalists with a part of the recipe's epochs, if there are any."""
    shares = {(job.candidate.name, job.backend): job.share for job in finals if job.candidate.kind}
    if all(share == 1 for share in shares.values()):
        return []
    if len(set(shares.values())) == 1:
        (share,) = set(shares.values())
        return [f"Networks had {100 * share:.3g} % of the recipe's epochs."]
    named = dict.fromkeys(f"{name} {100 * share:.3g} %" for (name, _), share in shares.items())
    return [
        "Networks had unlike parts of the recipe's epochs, and those with fewer may look worse for "
        f"it: {', '.join(named)}."
    ]


def advise_weights(weights: Sequence[str]) -> list[str]:
    """Return a sentence for a study without pretrained weights."""
    if weights:
        return []
    return [
        "No network started from pretrained weights, which help most where images are few: "
        f"--weights FILE adds some in a new --output; --weights {IMAGENET_OF}{SMALL_PUBLISHED} "
        "downloads them."
    ]


def count_late(skipped: Mapping[str, str]) -> list[str]:
    """Return a sentence about the candidates that had no time, if there are any.

    Args:
        skipped: Candidate -> why it has no result; a failure is not for want of time.
    """
    num_late = sum(map(is_late, skipped.values()))
    if not num_late:
        return []
    return [f"The budget was too short to try {num_late} of the candidates."]


def count_tested(num_ranked: int, num_tested: int) -> str:
    """Return a sentence about the candidates that were not tested."""
    were = "was" if num_tested == 1 else "were"
    text = f"Of {num_ranked} candidates with a validation accuracy, {num_tested} {were} tested"
    if num_tested >= MAX_FINALISTS:
        return f"{text}, the best ones on validation images."
    return f"{text}: a longer budget tests more."


def name_single(full: Sequence[Job]) -> list[str]:
    """Return a sentence for each of several frameworks that has tested candidates alone.

    Args:
        full: Tested cells of the rows that are complete.
    """
    tested: dict[str, set[str]] = {}
    for job in full:
        tested.setdefault(job.candidate.name, set()).add(job.backend)
    frameworks = sorted({job.backend for job in full})
    if len(frameworks) == 1:
        return []
    single = {
        backend: [name for name, own in tested.items() if own == {backend}]
        for backend in frameworks
    }
    return [
        f"Tested in {FRAMEWORKS[backend]} alone: {', '.join(names)}."
        for backend, names in single.items()
        if names
    ]


def missing_views(notes: Sequence[str]) -> list[str]:
    """Return the notes about weights that do not say how images are prepared for them."""
    return [note for note in notes if "name no view" in note]
