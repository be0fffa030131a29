"""Sentences about a study's cells, and about what the budget or a failure left out."""

from collections.abc import Sequence

from poc.shared.actions.study.candidates import MAJORITY
from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.jobs import Trial
from poc.shared.actions.study.search import Searches
from poc.shared.analysis.study.decision import Decision
from poc.shared.analysis.verdicts.phrases import FRAMEWORKS

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
    if decision.recommended.candidate == MAJORITY:
        found.append(
            "No tested candidate did better on validation images than naming the largest class."
        )
    late = [name for name, reason in search.skipped.items() if "time" in reason]
    if late:
        found.append(f"The budget was too short to try {len(late)} of the candidates.")
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
        found.append(
            f"Of {len(ranked)} candidates with a validation accuracy, {len(tested)} "
            f"{'was' if len(tested) == 1 else 'were'} tested: a longer budget tests more."
        )
    if decision.num_test_images < protocol.num_test_images:
        found.append(
            f"The time was over when {decision.num_test_images:,} of "
            f"{protocol.num_test_images:,} images were tested."
        )
    if len({job.backend for job in full}) == 1:
        name = FRAMEWORKS[full[0].backend]
        found.append(f"All finalists ran in {name} alone, so the frameworks are not compared.")
    return found


def missing_views(notes: Sequence[str]) -> list[str]:
    """Return the notes about weights that do not say how images are prepared for them."""
    return [note for note in notes if "name no view" in note]
