"""The parts of a batch: what all ranks compute is what one process has, in plain NumPy."""

import numpy as np
import pytest

from poc.shared.data.batches.shard import WHOLE, Shard
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.ranks.parts import (
    EXAMPLE_SHARE,
    FIRST_PLACE,
    draw_part,
    join_rows,
    moving_statistics,
    share_numbers,
)
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks


def network(*assignments):
    settings = ["method=lightlayers", "k=1", "widths=[3,4]", "dropout=0.4", *assignments]
    return resolve_networks(
        load_run(None, settings, input_shape=(8, 8, 1), num_classes=3)
    ).trained_network


def test_shares_by_hand():
    assert share_numbers(7, WHOLE) == {}
    assert [float(share_numbers(7, Shard(index, 2))[EXAMPLE_SHARE]) for index in range(2)] == [
        1 / 7,
        1 / 7,
    ]
    # The stand-in of an empty part counts nothing.
    found = [float(share_numbers(1, Shard(index, 3))[EXAMPLE_SHARE]) for index in range(3)]
    assert found == [1, 0, 0]


def test_first_places_by_hand():
    """Parts of 7 in 2 are 4 and 3; of 1 in 3, two ranks have a stand-in, the first example."""
    places = [
        [float(share_numbers(size, Shard(index, count))[FIRST_PLACE]) for index in range(count)]
        for size, count in ((7, 2), (7, 3), (1, 3))
    ]
    assert places == [[0, 4], [0, 3, 5], [0, 0, 0]]


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("count", [2, 3])
def test_the_sum_of_shares_is_the_mean(size, count):
    """Mean loss and gradient of a linear model: sum over ranks, parts of different sizes."""
    rng = np.random.default_rng(0)
    inputs, weight = rng.normal(size=(size, 4)), rng.normal(size=4)
    loss, gradient = 0.0, np.zeros(4)
    for index in range(count):
        shard = Shard(index, count)
        own = inputs[shard.read(size)]
        share = float(share_numbers(size, shard)[EXAMPLE_SHARE])
        loss += share * ((own @ weight) ** 2).sum()
        gradient += share * (2 * (own @ weight)[:, None] * own).sum(0)
    np.testing.assert_allclose(loss, ((inputs @ weight) ** 2).mean(), rtol=1e-14)
    expected = (2 * (inputs @ weight)[:, None] * inputs).mean(0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-13)


@pytest.mark.parametrize(("size", "count"), [(7, 2), (7, 3), (2, 3)])
def test_masks_of_the_ranks_are_those_of_one_process(size, count):
    net = network()
    whole = draw_noise(net, seed=1, step=5, batch_size=size, first=4)
    shards = [Shard(index, count) for index in range(count)]
    drawn = [draw_part(net, shard, size, seed=1, step=5, first=4) for shard in shards]
    assert whole.keys() == drawn[0].keys() != set()
    for name, mask in whole.items():
        parts = [own[name][: len(s.part(size))] for own, s in zip(drawn, shards, strict=True)]
        assert np.array_equal(np.concatenate(parts), mask), name


def test_rows_come_back_in_order():
    """Batches of 5, 5 and 1 rows for three ranks; the stand-ins of the last one are dropped."""
    sizes, count = [5, 5, 1], 3
    rows, first = np.arange(11)[:, None], [0, 5, 10]
    parts = [
        np.concatenate(
            [rows[f + Shard(index, count).read(s)] for f, s in zip(first, sizes, strict=True)]
        )
        for index in range(count)
    ]
    assert [len(part) for part in parts] == [5, 5, 3]
    assert np.array_equal(join_rows(parts, sizes), rows)


def test_moving_statistics_are_those_of_norms():
    names = moving_statistics(network())
    assert names
    assert all(name.endswith(("/moving_mean", "/moving_variance")) for name in names)
    assert set(names) < {parameter.name for parameter in network().parameters}
