"""Cells of a study that have no result: for want of time, or since they failed."""

from collections.abc import Sequence

from poc.shared.actions.study.jobs import NOT_BEGUN, STOPPED, Phase, Trial
from poc.shared.errors import CheckFailed

FAILED = "failed"


def is_late(reason: str) -> bool:
    """Return whether a candidate has no result for want of time."""
    return reason.startswith((NOT_BEGUN, STOPPED))


def refuse_failures(ended: Sequence[Trial], phase: Phase) -> None:
    """End a study whose phase has no result, if a cell of it failed: a failure is no answer.

    Args:
        ended: Cells that have ended, of all phases.
        phase: The phase to look at.

    Raises:
        CheckFailed: See above.
    """
    own = [trial for trial in ended if trial.job.phase == phase]
    failed = [trial for trial in own if trial.outcome.status == FAILED]
    if failed and not any(trial.outcome.is_finished for trial in own):
        name, error = failed[0].job.candidate.name, failed[0].outcome.error
        raise CheckFailed(
            f"No candidate could be trained. The first one, {name}, says: {error.rstrip('.')}. "
            "Once that is mended, study again in a new --output."
        )
