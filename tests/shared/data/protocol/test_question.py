"""The question of a study: nonsense is refused."""

import pytest

from poc.shared.data.protocol.question import Question
from poc.shared.errors import UsageError


@pytest.mark.parametrize("difference", [0.0, 1.0, 5.0])
def test_a_difference_is_a_fraction(difference):
    with pytest.raises(UsageError, match=r"between 0 and 1\. Try 0\.05"):
        Question(smallest_difference=difference)


@pytest.mark.parametrize("counts", [{"num_seeds": 0}, {"num_repeats": 0}])
def test_something_is_run(counts):
    with pytest.raises(UsageError, match="at least one"):
        Question(**counts)
