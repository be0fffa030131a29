"""Tokens know their place in the image; Grad-CAM reads the last that an attention mixes."""

import numpy as np
import pytest

from poc.shared.actions.explanations.methods import as_maps, choose_method
from poc.shared.errors import UsageError
from poc.shared.spec.networks.grids import find_grid, find_map_shape
from poc.shared.spec.networks.models import ModelSpec


def declare(depth=2, model="dinov2_s14", **options):
    small = {"depth": depth, "width": 12, "heads": 3, **options}
    return ModelSpec(name=model, options=small).declare((28, 42, 3), 5)


def test_the_grid_is_that_of_the_patches():
    network = declare(registers=4)
    assert find_grid(network.nodes) == (2, 3)
    # One class token and four registers before six patches.
    assert network.shape_of("block1/add2") == (11, 12)
    assert find_map_shape(network.nodes, (11, 12)) == (2, 3, 12)
    assert find_map_shape(network.nodes, (5, 12)) is None
    assert find_map_shape(network.nodes, (12,)) is None
    assert find_map_shape(network.nodes, (4, 4, 3)) == (4, 4, 3)


def test_a_network_of_maps_has_no_grid():
    network = ModelSpec(name="resnet18").declare((32, 32, 3), 5)
    assert find_grid(network.nodes) is None
    assert find_map_shape(network.nodes, (6, 2)) is None


def test_taps_are_maps_of_the_patches():
    network = declare(registers=4)
    for tap in ("block1", "block2"):
        assert network.shape_of(network.node_of(tap)) == (2, 3, 12)


@pytest.mark.parametrize(("depth", "tap"), [(1, "position_embedding"), (3, "block2/add2")])
def test_grad_cam_reads_what_the_last_attention_mixes(depth, tap):
    """Behind it the class token reads no other token, and their gradients are zero."""
    method = choose_method("gradcam", declare(depth))
    assert (method.tap, method.tap_shape) == (tap, (2, 3, 12))


def test_grad_cam_takes_tokens_by_name_and_no_vectors():
    assert choose_method("gradcam", declare(), tap="block1/add2").tap_shape == (2, 3, 12)
    with pytest.raises(UsageError, match="which is a vector"):
        choose_method("gradcam", declare(), tap="pool")


def test_the_last_tokens_are_the_patches():
    tokens = np.arange(2 * 8 * 1).reshape(2, 8, 1)
    maps = as_maps(tokens, (2, 3, 1))
    assert maps[..., 0].tolist() == [[[2, 3, 4], [5, 6, 7]], [[10, 11, 12], [13, 14, 15]]]
    assert as_maps(maps, (2, 3, 1)) is maps
