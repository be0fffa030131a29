"""A phase of a study in which nothing has a result."""

import pytest

from poc.shared.actions.study.candidates import Candidate
from poc.shared.actions.study.jobs import NOT_BEGUN, STOPPED, Job, Outcome, Trial
from poc.shared.actions.study.searching.failures import is_late, refuse_failures
from poc.shared.errors import CheckFailed
from poc.shared.spec.splits import SplitSpec


def end(name, status, error="", phase="search"):
    candidate = Candidate(name=name, settings=("method=scratch",), tier=0)
    job = Job(
        phase=phase,
        candidate=candidate,
        backend="torch",
        split=SplitSpec(),
        seed=0,
        place="trial=0",
    )
    return Trial(job, Outcome(status, 1.0, error=error))


LATE = end("a", "stopped", f"{STOPPED} 9 s")
FAILED = end("c", "failed", "Memory ended.")


def test_a_failure_is_no_answer():
    with pytest.raises(CheckFailed, match=r"The first one, c, says: Memory ended\. Once"):
        refuse_failures([LATE, FAILED, end("d", "failed", "killed")], "search")


@pytest.mark.parametrize(
    "ended", [[], [LATE], [FAILED, end("b", "finished")], [end("c", "failed", "x", "finals")]]
)
def test_want_of_time_is_none_and_one_result_suffices(ended):
    refuse_failures(ended, "search")


def test_reasons_of_time():
    assert is_late(f"{NOT_BEGUN} (9 s)")
    assert is_late(f"{STOPPED} 9 s")
    assert not is_late("Memory ended.")
