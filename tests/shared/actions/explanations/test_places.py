"""Where a map is strongest, in words."""

import numpy as np
import pytest

from poc.shared.actions.explanations.places import name_place


@pytest.mark.parametrize(
    ("row", "column", "shape", "words"),
    [
        (0, 0, (7, 7), "upper left"),
        (3, 3, (7, 7), "middle"),
        (6, 3, (7, 7), "lower middle"),
        (3, 6, (7, 7), "middle right"),
        (0, 1, (2, 2), "upper right"),
        (0, 0, (1, 3), "middle left"),
    ],
)
def test_the_ninth_of_the_largest_value(row, column, shape, words):
    one = np.zeros(shape)
    one[row, column] = 0.3
    assert name_place(one) == words


def test_a_map_without_a_largest_value_is_nowhere():
    assert name_place(np.zeros((3, 3))) == "nowhere"
    assert name_place(np.full((1, 1), 2.0)) == "nowhere"
