"""Biases that are cancelled where a random branch keeps every example, and no others."""

import numpy as np
import pytest

from poc.shared.analysis.parity.kept_branches import cancelled_by_chance, without_rounding
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.architectures.table import ARCHITECTURES

DROPPED = "stage2/block2"


@pytest.fixture(scope="module")
def network():
    row = ARCHITECTURES["efficientnet_lite0"]
    form = row.form({"width": 0.2}, row.small.input_shape, 3)
    return declare_network(form.run(precision="float64"))


def draw(network, **changed):
    noise = draw_noise(network, seed=0, step=0, batch_size=8)
    masks = {name: np.ones_like(mask) for name, mask in noise.items()}
    return masks | {
        name: mask
        for name in masks
        for start, mask in changed.items()
        if name.startswith(start.replace("_", "/"))
    }


def test_with_every_branch_kept_it_is_the_network_without_random_branches(network):
    row = ARCHITECTURES["efficientnet_lite0"]
    calm = row.form({"width": 0.2, "drop_connect": 0.0}, row.small.input_shape, 3).run(
        precision="float64"
    )
    expected = declare_network(calm).cancelled_biases
    assert cancelled_by_chance(network, draw(network)) == expected - network.cancelled_biases
    assert "stage2/block2/project_norm/beta" in expected


def test_a_branch_that_drops_one_example_keeps_its_gradient(network):
    mask = np.arange(8).reshape(8, 1, 1, 1) > 0
    found = cancelled_by_chance(network, draw(network, stage2_block2=mask))
    everywhere = cancelled_by_chance(network, draw(network))
    assert everywhere - found == {"stage2/block2/project_norm/beta"}


def test_rounding_becomes_zero_and_a_wrong_gradient_stays():
    found = {"a/beta": np.array([3e-14]), "b/beta": np.array([1e-9]), "c": np.array([2.0, -3.0])}
    cleaned = without_rounding(found, {"a/beta", "b/beta"}, "float64")
    assert cleaned["a/beta"].tolist() == [0.0]
    assert cleaned["b/beta"].tolist() == [1e-9]
    assert cleaned["c"] is found["c"]
    assert without_rounding(found, set(), "float64")["a/beta"].tolist() == [3e-14]
