"""Moments of batches joined into those of the whole, and the refusal to choose on few images."""

import numpy as np
import pytest

from poc.shared.engine.datasets import check_validation
from poc.shared.engine.norm_statistics import Moments
from poc.shared.errors import UsageError
from poc.shared.spec.config import load_run


def test_joined_moments_are_those_of_all_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, (41, 5))
    moments = Moments()
    for part in (values[:20], values[20:40], values[40:]):
        correction = min(1, len(part) - 1)
        moments.add(len(part), part.mean(axis=0), part.var(axis=0, ddof=correction))
    assert np.abs(moments.mean - values.mean(axis=0)).max() < 1e-12
    assert np.abs(moments.variance - values.var(axis=0, ddof=1)).max() < 1e-12


def test_choosing_on_few_images_is_refused_with_its_remedy():
    with pytest.raises(UsageError, match=r"received 16 .* at least 100.*min_validation_images=16"):
        check_validation(load_run(None, ["num_epochs=20"]), 16)


@pytest.mark.parametrize(
    ("settings", "num_images"),
    [
        (["num_epochs=20"], 100),
        (["num_epochs=20"], 0),
        (["num_epochs=1"], 16),
        (["num_epochs=20", "min_validation_images=16"], 16),
        (["num_epochs=20", "min_validation_images=0"], 1),
    ],
)
def test_what_is_allowed(settings, num_images):
    check_validation(load_run(None, settings), num_images)
