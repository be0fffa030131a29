"""Refused of a fitted head before it starts: too many features, one class, stored images."""

import numpy as np
import pytest

from poc.shared.engine.resolving import fitted_head
from poc.shared.engine.resolving.fitted_head import check_fitted_head
from poc.shared.engine.training.output_cache import LIMIT_BYTES
from poc.shared.errors import UsageError
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

MODEL = {"name": "lightnet_plain", "options": {"layer": "conv2d", "head": "dense", "widths": [4]}}
LABELS = np.arange(30) % 3


def make_run(method, **fields):
    values = {"method": method, "model": MODEL, "input_shape": [12, 12, 1], "num_classes": 3}
    return resolve_networks(RunSpec.parse({**values, **fields}, ""))


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_features_that_do_not_fit_are_refused(method, monkeypatch):
    """30 images of 4 features, of which knn stores the labels too: 4 bytes each."""
    stored = {"num_images": 30, "most_neighbours": 5} if method == "knn" else None
    run = make_run(method, model={**MODEL, "stored_images": stored})
    size = 4 * 30 * (4 + 3 * (method == "knn"))
    monkeypatch.setattr(fitted_head, "MOST_BYTES", size)
    check_fitted_head(run, LABELS, 500)
    monkeypatch.setattr(fitted_head, "MOST_BYTES", size - 1)
    with pytest.raises(UsageError, match=rf"Got 30 training images .* {size} bytes\. Expected"):
        check_fitted_head(run, LABELS, 500)


def test_the_bound_is_that_of_all_kept_values():
    assert fitted_head.MOST_BYTES == LIMIT_BYTES


def test_images_of_one_class_are_refused():
    with pytest.raises(UsageError, match="Got training images of one class"):
        check_fitted_head(make_run("logistic"), np.zeros(9, dtype=np.int64), 500)


def test_a_choice_needs_validation_images():
    run = make_run("logistic")
    assert check_fitted_head(run, LABELS, 100) is None
    told = check_fitted_head(run, LABELS, 26)
    assert told == (
        "26 validation images, fewer than 100, choose no C: C = 1 (default_c) "
        "(--set min_validation_images=26 chooses)."
    )
    told = check_fitted_head(run, LABELS, 0)
    assert told == "There is no validation part that could choose: C = 1 (default_c)."


def test_another_method_does_not_train_what_is_stored():
    model = {**MODEL, "stored_images": {"num_images": 30, "most_neighbours": 5}}
    assert check_fitted_head(make_run("scratch"), LABELS, 500) is None
    with pytest.raises(UsageError, match=r"Got model\.stored_images for the method 'scratch'"):
        check_fitted_head(make_run("scratch", model=model), LABELS, 500)
