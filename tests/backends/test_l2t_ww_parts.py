"""Second derivatives once per layer kind, and the two forms of the matching error."""

import numpy as np
import pytest

from poc.shared.engine.numerics.resizing import resize_matrix
from poc.tests.helpers.measured.separate_process import measured
from poc.tests.reference import l2t_ww as reference


@pytest.mark.torch
def test_torch_second_derivatives_and_gram_form() -> None:
    """Against PyTorch's own double backward, float64: rounding alone is left."""
    found = measured("l2t_checks_torch.py")
    assert len(found["errors"]) == 11
    for name, error in found["errors"].items():
        assert error < 1e-11, name
    assert found["gram"] < 1e-12
    # Each function ran: once forward a comparison, once more for each second derivative.
    assert found["calls"] == {
        "convolution": 5,
        "convolution_twice": 5,
        "batch_norm": 6,
        "batch_norm_twice": 6,
    }
    assert found["calls_outside"] == found["calls"]
    # PyTorch's fused attention has no second derivative: the day that it does, the switch can go.
    assert found["attention"]["inside"]
    assert "not implemented" in found["attention"]["outside"]
    assert found["attention"]["difference"] < 1e-14


@pytest.mark.tf
def test_tf_second_derivatives_and_gram_form() -> None:
    """The fused op in float32 against the written-out formula in float64."""
    found = measured("l2t_checks_tf.py")
    assert len(found["errors"]) == 4
    for name, error in found["errors"].items():
        # float32 rounding through two derivatives; a stopped mean is off by more than 1e-2 here.
        assert error < 1e-4, name
    assert found["gram"] < 1e-12
    assert found["calls"]["batch_norm_twice"] == 4


@pytest.mark.parametrize("sizes", [(56, 7), (7, 56), (32, 2), (9, 4), (4, 9), (5, 5), (1, 3)])
def test_resize_matrix_equals_the_loop(sizes: tuple[int, int]) -> None:
    before, after = sizes
    maps = np.random.default_rng(0).normal(size=(2, before, before, 3))
    matrix = resize_matrix(before, after)
    found = np.einsum("ph,nhwc,qw->npqc", matrix, maps, matrix)
    assert np.allclose(found, reference.bilinear(maps, after, after), rtol=0, atol=1e-13)
