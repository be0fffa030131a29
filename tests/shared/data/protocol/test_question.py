"""The question of a study: nonsense is refused."""

import pytest

from poc.shared.data.protocol.question import Question, make_question
from poc.shared.errors import UsageError


@pytest.mark.parametrize("difference", [0.0, 1.0, 5.0])
def test_a_difference_is_a_fraction(difference):
    with pytest.raises(UsageError, match=r"between 0 and 1\. Try 0\.05"):
        Question(smallest_difference=difference)


@pytest.mark.parametrize("counts", [{"num_seeds": 0}, {"num_repeats": 0}])
def test_something_is_run(counts):
    with pytest.raises(UsageError, match="at least one"):
        Question(**counts)


def test_the_networks_of_a_command_are_seeds_or_repeats():
    assert make_question(0.05, None, None) == Question()
    asked = make_question(0.02, "patient[0-9]+", 4)
    assert (asked.num_seeds, asked.num_repeats) == (4, 4)
    assert (asked.smallest_difference, asked.group_pattern) == (0.02, "patient[0-9]+")
