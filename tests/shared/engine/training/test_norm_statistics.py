"""Moments of batches joined into those of the whole, and the refusal to choose on few images."""

import numpy as np
import pytest

from poc.shared.engine.resolving.validation import check_validation, chooses_epoch
from poc.shared.engine.training.norm_statistics import Moments
from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run


def test_joined_moments_are_those_of_all_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, (41, 5))
    moments = Moments()
    for part in (values[:20], values[20:40], values[40:]):
        correction = min(1, len(part) - 1)
        moments.add(len(part), part.mean(axis=0), part.var(axis=0, ddof=correction))
    assert np.abs(moments.mean - values.mean(axis=0)).max() < 1e-12
    assert np.abs(moments.variance - values.var(axis=0, ddof=1)).max() < 1e-12


def test_no_epoch_is_chosen_on_few_images_and_a_line_says_so():
    run = load_run(None, ["num_epochs=20"])
    assert not chooses_epoch(run, 16)
    text = check_validation(run, 16)
    assert text == (
        "No epoch is chosen on 16 validation images, fewer than 100: the last one counts "
        "(--set min_validation_images=16 chooses)."
    )


@pytest.mark.parametrize("key", ["patience", "reduce_patience"])
def test_patience_on_few_images_is_refused_with_its_remedy(key):
    run = load_run(None, ["num_epochs=20", f"{key}=3"])
    with pytest.raises(UsageError, match=rf"{key} with 16 .* at least 100.*images=16"):
        check_validation(run, 16)
    assert check_validation(run, 100) is None
    accepted = load_run(None, ["num_epochs=20", f"{key}=3", "min_validation_images=16"])
    assert check_validation(accepted, 16) is None


@pytest.mark.parametrize(
    ("settings", "num_images", "is_chosen"),
    [
        (["num_epochs=20"], 100, True),
        (["num_epochs=20"], 0, False),
        (["num_epochs=1"], 16, False),
        (["num_epochs=20", "min_validation_images=16"], 16, True),
        (["num_epochs=20", "min_validation_images=0"], 1, True),
        (["num_epochs=20", "min_validation_images=0"], 0, False),
    ],
)
def test_what_needs_no_line(settings, num_images, is_chosen):
    run = load_run(None, settings)
    assert check_validation(run, num_images) is None
    assert chooses_epoch(run, num_images) == is_chosen
