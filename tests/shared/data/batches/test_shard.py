"""The cut of a batch among processes: by hand, and against NumPy's own."""

import numpy as np
import pytest

from poc.shared.data.batches.shard import WHOLE, Shard


def parts(size, count):
    return [list(Shard(index, count).part(size)) for index in range(count)]


def test_parts_by_hand():
    assert parts(7, 3) == [[0, 1, 2], [3, 4], [5, 6]]
    assert parts(1, 3) == [[0], [], []]
    assert list(WHOLE.part(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", range(1, 20))
@pytest.mark.parametrize("count", range(1, 6))
def test_parts_are_those_of_numpy(size, count):
    expected = [part.tolist() for part in np.array_split(np.arange(size), count)]
    assert parts(size, count) == expected
    lengths = [len(part) for part in expected]
    assert max(lengths) - min(lengths) <= 1


def test_a_process_without_an_example_reads_the_first_one():
    read = [Shard(index, 3).read(2).tolist() for index in range(3)]
    assert read == [[0], [1], [0]]
    assert Shard(2, 3).read(2).dtype == np.int64
