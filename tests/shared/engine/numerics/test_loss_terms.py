"""Loss terms have one value per example, or are refused by name."""

import pytest

from poc.shared.engine.numerics.loss_terms import check_terms
from poc.shared.errors import CheckFailed


def test_one_value_an_example_is_what_is_expected():
    check_terms("kd", {"hard": (8,), "soft": (8,)}, 8)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (8, 1), (8, 8)])
def test_the_wrong_term_is_named_with_both_shapes(shape):
    with pytest.raises(CheckFailed) as caught:
        check_terms("rkd", {"hard": (8,), "distance": shape}, 8)
    for part in ("rkd", "'distance'", f"shape {shape}.", "(8,)"):
        assert part in str(caught.value)


def test_no_term_is_no_loss():
    with pytest.raises(CheckFailed, match="Got no loss term from the method rkd"):
        check_terms("rkd", {}, 8)
