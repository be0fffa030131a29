"""PyTorch's batch norm with pixels side by side against its own kernels, float64."""

import pytest

from poc.tests.helpers.measured.separate_process import measured

LEFT_ALONE = {"16 channels", "few pixels", "odd pixels", "channels first"}


@pytest.fixture(scope="module")
def rows():
    return measured("batch_norm_checks_torch.py")


@pytest.mark.torch
def test_pixels_side_by_side_change_nothing(rows) -> None:
    """Output, first and second gradients, running statistics: rounding alone is left."""
    assert len(rows) == 11
    for case, row in rows.items():
        for training, error in row["errors"].items():
            assert error < 1e-10, (case, training)


@pytest.mark.torch
def test_the_kernels_that_are_meant_ran(rows) -> None:
    # Once in training; evaluation needs no function of its own.
    assert {case for case, row in rows.items() if row["calls"] == 0} == LEFT_ALONE
    assert {row["calls"] for row in rows.values()} == {0, 1}
