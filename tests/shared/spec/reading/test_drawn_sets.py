"""Drawn sets: their distribution, that they do not move, and wrong tables."""

import numpy as np
import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.reading.drawn_sets import RangeSpec, SetsSpec, draw_sets, read_sets

RANGES = {
    "optimizer.learning_rate": {"low": 1e-4, "high": 0.1, "scale": "log"},
    "data.batch_size": {"low": 10, "high": 12},
}
TABLE = {"number": 3, "draw_seed": 5, "ranges": RANGES}


def test_more_sets_and_another_order_leave_the_first_ones_unchanged():
    first = read_sets(TABLE, None, None)
    more = read_sets({**TABLE, "ranges": dict(reversed(RANGES.items()))}, 9, None)
    assert more[:3] == first
    assert read_sets(TABLE, None, 6) != first


def test_values_are_uniform_in_their_scale():
    spec = SetsSpec.parse({**TABLE, "number": 3000}, "sets")
    sets = draw_sets(spec)
    sizes = [chosen["data.batch_size"] for chosen in sets]
    counts = np.bincount(sizes)[10:]
    assert len(counts) == 3
    # Four standard errors of a third of 3,000.
    assert counts == pytest.approx([1000] * 3, abs=4 * (3000 * 2 / 9) ** 0.5)
    shares = np.log([chosen["optimizer.learning_rate"] for chosen in sets])
    shares = (shares - np.log(1e-4)) / np.log(1000)
    assert 0 <= shares.min() < 0.01
    assert 0.99 < shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=4 * (1 / 12 / 3000) ** 0.5)


def test_values_at_the_ends():
    whole, tenth = RangeSpec(low=1, high=10), RangeSpec(low=0.0, high=1.0)
    assert [whole.value_at(share) for share in (0, 0.0999, 0.1, 1 - 2**-52)] == [1, 1, 2, 10]
    assert tenth.value_at(1 / 3) == 0.3333
    logs = RangeSpec(low=1, high=9, scale="log")
    assert [logs.value_at(share) for share in (0, 0.5, 1 - 2**-52)] == [1, 3, 9]


def test_without_a_table_there_is_one_empty_set():
    assert read_sets(None, None, None) == [{}]
    with pytest.raises(UsageError, match="without ranges"):
        read_sets(None, 4, None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"number": 2}, "ranges"),
        ({"ranges": {"k": {"low": 3, "high": 1}}}, "the smaller first"),
        ({"ranges": {"k": {"low": 0.0, "high": 1.0, "scale": "log"}}}, "above 0 for log"),
        ({"ranges": {"k": {"low": 1, "high": 2}}, "number": 0}, "number"),
        (7, "a table"),
    ],
)
def test_a_wrong_table_is_refused(table, words):
    with pytest.raises(UsageError, match=words):
        read_sets(table, None, None)
