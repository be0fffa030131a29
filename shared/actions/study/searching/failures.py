"""Candidates of a study that have no result: for want of time, or since they failed."""

from collections.abc import Mapping

from poc.shared.actions.study.jobs import NOT_BEGUN, STOPPED
from poc.shared.errors import CheckFailed


def is_late(reason: str) -> bool:
    """Return whether a candidate has no result for want of time."""
    return reason.startswith((NOT_BEGUN, STOPPED))


def refuse_failures(skipped: Mapping[str, str]) -> None:
    """End a study in which nothing has a result, if something failed: a failure is no answer.

    Args:
        skipped: Candidate -> why it has no result.

    Raises:
        CheckFailed: See above.
    """
    failed = {name: reason for name, reason in skipped.items() if not is_late(reason)}
    if failed:
        name, reason = next(iter(failed.items()))
        raise CheckFailed(
            f"No candidate could be trained. The first one, {name}, says: "
            f"{reason.rstrip('.')}. Once that is mended, study again in a new --output."
        )
