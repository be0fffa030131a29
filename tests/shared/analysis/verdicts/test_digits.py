"""Decimals that show on which side of a bound a number is."""

import pytest

from poc.shared.analysis.study.sentences import write_points as study_points
from poc.shared.analysis.tables.verdicts import pair_table
from poc.shared.analysis.verdicts.digits import count_digits, write_difference, write_interval
from poc.shared.analysis.verdicts.pairs import Pair
from poc.shared.analysis.verdicts.phrases import write_points


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-0.004, 0.028, "-0.4 to +2.8"),
        # A difference that is shown is not written as if it might be none.
        (0.0004, 0.031, "+0.04 to +3.10"),
        (-0.031, -0.00004, "-3.100 to -0.004"),
        (0.0, 0.031, "+0.0 to +3.1"),
        # A rounding error of the machine is no difference.
        (1e-17, 0.031, "+0.0 to +3.1"),
    ],
)
def test_an_end_that_is_not_zero_is_not_written_as_zero(low, high, text):
    assert write_interval(low, high, "+") == text
    assert write_interval(low, high) == text.replace("+", "")


def test_digits_are_as_few_as_tell_a_value_from_the_bound():
    assert count_digits([1.3, 2.0], 1.0) == 1
    assert count_digits([1.004], 1.0, least=2) == 3
    assert count_digits([1.0], 1.0, least=2) == 2


def test_a_shown_difference_is_written_as_one_everywhere():
    pair = Pair("a", "b", 0.0157, low=0.0004, high=0.031, p_value=0.01, adjusted=0.04)
    assert pair_table([pair]).rows[0][3] == "+0.04 to +3.10"
    assert write_points(pair) == "1.6 points (0.04 to 3.10)"
    turned = Pair("b", "a", -0.0157, low=-0.031, high=-0.0004)
    assert write_points(turned) == "1.6 points (0.04 to 3.10)"
    assert study_points(0.0157, (0.0004, 0.031)) == "1.6 points lower (0.04 to 3.10)"


@pytest.mark.parametrize(
    ("difference", "low", "high", "text"),
    [
        (0.0003, 0.0001, 0.0005, "+0.03"),
        (-0.00004, -0.00006, -0.00002, "-0.004"),
        (0.0003, -0.01, 0.02, "+0.0"),
        (0.0157, 0.0004, 0.031, "+1.6"),
        (0.0, 0.0, 0.0, "+0.0"),
    ],
)
def test_a_shown_difference_is_not_written_as_zero(difference, low, high, text):
    assert write_difference(difference, low, high, "+") == text
    pair = Pair("a", "b", difference, low=low, high=high, p_value=0.01, adjusted=0.04)
    assert pair_table([pair]).rows[0][2] == text
