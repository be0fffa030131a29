"""Dropout masks: keyed by (seed, step, layer), with the right share."""

import numpy as np
import pytest

from poc.shared.engine.numerics.noise import draw_mask, draw_noise
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.elementwise import Dropout
from poc.shared.spec.networks.layers.pooling import GlobalPool


def network(first="first", rate=0.3):
    net = NetworkBuilder("case", (4, 5, 6))
    net.add(first, Dropout(rate=rate))
    net.add("spatial", Dropout(rate=0.5, is_spatial=True))
    net.add("silent", Dropout(rate=0.0))
    net.add("pool", GlobalPool())
    return net.build()


def draw(seed=0, step=0, net=None, batch_size=8):
    return draw_noise(net or network(), seed=seed, step=step, batch_size=batch_size)


def test_shapes_and_types():
    noise = draw()
    assert {name: mask.shape for name, mask in noise.items()} == {
        "first": (8, 4, 5, 6),
        "spatial": (8, 1, 1, 6),
    }
    assert all(mask.dtype == np.bool_ for mask in noise.values())


def test_the_key_is_seed_step_and_name():
    first = draw(seed=1, step=2)["first"]
    assert np.array_equal(first, draw(seed=1, step=2)["first"])
    assert not np.array_equal(first, draw(seed=1, step=3)["first"])
    assert not np.array_equal(first, draw(seed=2, step=2)["first"])
    renamed = draw(seed=1, step=2, net=network("other"))
    assert not np.array_equal(first, renamed["other"])
    assert np.array_equal(renamed["spatial"], draw(seed=1, step=2)["spatial"])


def test_seed_and_step_are_not_interchangeable():
    assert not np.array_equal(draw(seed=1, step=2)["first"], draw(seed=2, step=1)["first"])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_kept(rate):
    mask = draw_mask((100_000,), rate, (0, 0, 0))
    # Five standard deviations of a share of 100,000.
    assert abs(mask.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / 100_000)


def test_neighbouring_steps_are_independent():
    masks = np.stack([draw_mask((20_000,), 0.5, (0, step, 1)) for step in range(3)])
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert abs(np.corrcoef(masks[first], masks[second])[0, 1]) < 0.04
