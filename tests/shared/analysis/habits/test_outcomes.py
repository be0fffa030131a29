"""The accuracy that stands for a loss that was not finite."""

import numpy as np
import pytest

from poc.shared.analysis.habits.outcomes import accuracy_without_numbers
from poc.shared.analysis.runs.predictions import Predictions


@pytest.mark.parametrize(
    ("labels", "accuracy"),
    [
        # The first class is the answer, and right for one image of four.
        ([1, 0, 2, 1], 0.25),
        # No label is the answer, and right for the two images without one.
        ([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]], 0.5),
        ([[1, 0, 0]] * 4, 0.0),
    ],
)
def test_outputs_that_are_no_numbers(labels, accuracy):
    known = Predictions(
        logits=np.ones((4, 3)), labels=np.array(labels), ids=np.array(["a", "b", "c", "d"])
    )
    assert accuracy_without_numbers(known) == accuracy
