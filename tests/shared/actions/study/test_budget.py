"""The text of `--budget`."""

import pytest

from poc.shared.actions.study.budget import read_budget
from poc.shared.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("3min", 180), ("2h", 7200), ("240 s", 240), ("7.5m", 450)]
)
def test_a_time_with_its_unit(text, seconds):
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["30", "m", "-5m", "2d", "1m", "179s", ""])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="--budget"):
        read_budget(text)
