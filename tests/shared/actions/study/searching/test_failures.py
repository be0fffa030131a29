"""A study in which nothing has a result."""

import pytest

from poc.shared.actions.study.jobs import NOT_BEGUN, STOPPED
from poc.shared.actions.study.searching.failures import is_late, refuse_failures
from poc.shared.errors import CheckFailed

LATE = {"a": f"{NOT_BEGUN} (9 s)", "b": f"{STOPPED} 20 s"}


def test_a_failure_is_no_answer():
    reasons = {**LATE, "c": "Memory ended.", "d": "killed"}
    with pytest.raises(CheckFailed, match=r"The first one, c, says: Memory ended\. Once"):
        refuse_failures(reasons)


@pytest.mark.parametrize("reasons", [{}, LATE])
def test_want_of_time_is_none(reasons):
    assert all(map(is_late, reasons.values()))
    refuse_failures(reasons)
