"""The share that an average takes of new weights, by hand, and what it keeps of the first ones."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.training.averaging import AverageSpec, average_share


def shares(count, **settings):
    spec = AverageSpec.parse(settings, "ema")
    return [average_share(spec, update) for update in range(count)]


def left_of_first(count, **settings):
    """The share of the initial weights in the average after `count` updates."""
    left = 1.0
    for share in shares(count, **settings):
        left *= 1 - share
    return left


def test_shares_by_hand():
    assert shares(3, decay=0.9) == pytest.approx([9 / 10, 9 / 11, 9 / 12], rel=1e-15)
    assert shares(3, decay=0.9, warmup=False) == pytest.approx([0.1] * 3, rel=1e-15)
    # (1 + t) / (10 + t) = 0.9 at t = 80.
    assert shares(100, decay=0.9)[80:] == pytest.approx([0.1] * 20, rel=1e-15)
    assert shares(80, decay=0.9)[79] > 0.1


def test_a_short_run_forgets_its_initial_weights():
    """Of 300 updates: three quarters would be the initial weights without the warm-up."""
    assert left_of_first(300, decay=0.999, warmup=False) == pytest.approx(0.999**300, rel=1e-9)
    assert left_of_first(300, decay=0.999, warmup=False) > 0.74
    assert left_of_first(300, decay=0.999) < 1e-15


@pytest.mark.parametrize("decay", ["0", "1", "-0.1", "1.5", "true"])
def test_wrong_decays_are_refused(decay):
    with pytest.raises(UsageError, match=r"Got ema.decay="):
        load_run(None, [f"ema.decay={decay}"])
