"""Learned positions are resized as the libraries do it: against PyTorch's own interpolation."""

import json

import numpy as np
import pytest

from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.published.positions import (
    BICUBIC,
    CORNERS,
    SHIFTED,
    SMOOTH,
    bicubic_matrix,
    find_position_node,
    fit_positions,
)
from poc.shared.weights.published.table import find_schemes
from poc.tests.helpers.measured.separate_process import measured

RULES = {"corners": CORNERS, "smooth": SMOOTH, "shifted": SHIFTED, "bicubic": BICUBIC}
GRIDS = [(3, 3, 2, 5), (5, 5, 9, 4), (14, 14, 24, 24), (37, 37, 16, 16), (4, 4, 7, 7)]


@pytest.fixture(scope="module")
def theirs():
    """What the libraries' own functions make of one random table: rule -> grid -> positions."""
    return measured("../libraries/positions_torch.py", json.dumps(GRIDS))


@pytest.mark.torch
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_rule_is_that_of_its_library(rule, grid, theirs):
    height, _, *wanted = grid
    value = np.random.default_rng(0).normal(size=(1, height**2 + 1, 3))
    found = fit_positions(value, 1, tuple(wanted), RULES[rule])
    expected = np.array(theirs[rule][str(list(grid))])
    np.testing.assert_allclose(found[0, 1:], expected, rtol=0, atol=1e-12)
    assert np.array_equal(found[0, 0], value[0, 0])


@pytest.mark.torch
@pytest.mark.parametrize("library", ["torchvision", "timm", "transformers"])
def test_the_libraries_own_functions_agree(library, theirs):
    rule = {"torchvision": CORNERS, "timm": SMOOTH, "transformers": BICUBIC}[library]
    value = np.random.default_rng(0).normal(size=(1, 14**2 + 1, 3))
    found = fit_positions(value, 1, (24, 24), rule)
    # timm and transformers compute in float32, whatever the type.
    np.testing.assert_allclose(found[0], np.array(theirs[library]), rtol=0, atol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("registers", "name"), [(0, "transformers_dinov2"), (4, "transformers_registers")]
)
def test_dinov2_of_transformers_is_resized_as_its_class_does(registers, name, theirs):
    """From 14x14 to 9x9 patches: only when they become fewer, aliasing matters."""
    spec = ModelSpec(name="dinov2_s14", options={"depth": 1, "registers": registers})
    network = spec.declare((126, 126, 3), 3)
    value = np.random.default_rng(0).normal(size=(1, 14**2 + 1, 3))
    schemes = [s for s in find_schemes("dinov2_s14") if s.name.startswith("transformers")]
    assert len(schemes) == 2
    for scheme in schemes:
        found = fit_positions(value, 1, (9, 9), scheme.resizing(network))
        # The class computes in float32.
        np.testing.assert_allclose(found[0], np.array(theirs[name]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_constant_stays_one(rule):
    for sizes in ((3, 8), (8, 3), (1, 4), (5, 5)):
        matrix = bicubic_matrix(*sizes, RULES[rule])
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)


def test_what_fits_is_not_touched():
    value = np.random.default_rng(0).normal(size=(1, 10, 2)).astype(np.float32)
    assert np.array_equal(fit_positions(value, 1, (3, 3), SMOOTH), value)


def test_positions_of_patches_alone_get_zeros_before():
    value = np.random.default_rng(0).normal(size=(1, 9, 2)).astype(np.float32)
    found = fit_positions(value, 1, (3, 3), SMOOTH)
    assert found.shape == (1, 10, 2)
    assert found.dtype == np.float32
    assert not found[0, 0].any()
    assert np.array_equal(found[0, 1:], value[0])


@pytest.mark.parametrize("shape", [(1, 12, 2), (10, 2), (2, 10, 2)])
def test_what_is_no_square_is_left_to_the_check_of_shapes(shape):
    value = np.ones(shape)
    assert fit_positions(value, 1, (3, 3), SMOOTH) is value


def test_the_grid_is_that_of_the_images():
    def found(**options):
        spec = ModelSpec(name="dinov2_s14", options={"depth": 1, **options})
        return find_position_node(spec.declare((28, 42, 3), 3))

    assert found() == ("position_embedding", 1, (2, 3))
    # Registers get no positions.
    assert found(registers=4) == ("position_embedding", 1, (2, 3))
    plain = ModelSpec(name="vit_ti16", options={"depth": 1, "pooling": "mean"})
    assert find_position_node(plain.declare((32, 48, 3), 3)) == ("position_embedding", 0, (2, 3))
    convolutions = ModelSpec(name="resnet18").declare((32, 32, 3), 3)
    assert find_position_node(convolutions) is None
