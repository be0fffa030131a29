"""The nearest row by the cosine, over batches of any size."""

import numpy as np
import pytest

from poc.shared.analysis.gallery.neighbours import find_nearest

ROWS = np.array([[1, 0], [0, 2], [3, 3], [-1, 0], [0, 0]], dtype=np.float32)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_hand_computed_cosines(size):
    queries = np.array([[5, 0], [1, 1], [-2, 0.1]], dtype=np.float32)
    batches = [ROWS[start : start + size] for start in range(0, 5, size)]
    places, cosines = find_nearest(queries, batches)
    assert places.tolist() == [0, 2, 3]
    np.testing.assert_allclose(cosines, [1, 1, 2 / np.hypot(2, 0.1)], rtol=1e-6)


def test_of_equal_rows_the_first_counts():
    places, _ = find_nearest(np.array([[1.0, 0]]), [ROWS[3:], ROWS[:1], 2 * ROWS[:1]])
    assert places.tolist() == [2]
