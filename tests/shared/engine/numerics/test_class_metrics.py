"""Figures of each class against scikit-learn, by hand, and where a share is of nothing."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from poc.shared.engine.numerics.class_metrics import class_figures
from poc.shared.engine.numerics.metrics import classification_metrics

ROUNDING = 1e-12


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("num_images", [1, 7, 500])
def test_they_are_those_of_scikit_learn(num_classes, num_images):
    draw = np.random.default_rng([num_classes, num_images])
    labels, predicted = draw.integers(0, num_classes, (2, num_images))
    found = class_figures(labels, predicted, num_classes)
    expected = precision_recall_fscore_support(
        labels, predicted, labels=range(num_classes), zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert getattr(found, name) == pytest.approx(values, abs=ROUNDING, nan_ok=True), name
    assert found.support.tolist() == expected[3].tolist()
    macro = f1_score(labels, predicted, average="macro")
    assert found.macro_f1 == pytest.approx(macro, abs=ROUNDING)


def test_by_hand():
    """Class 0 has two images, of which one is right; 1 is answered twice, once right; 2 never."""
    found = class_figures(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 4)
    assert found.precision.tolist()[:2] == [0.5, 0.5]
    assert np.isnan(found.precision).tolist() == [False, False, True, True]
    assert found.recall.tolist()[:3] == [0.5, 1.0, 0.0]
    assert np.isnan(found.recall).tolist() == [False, False, False, True]
    assert found.f1[:3] == pytest.approx([0.5, 2 / 3, 0.0])
    # The class without images and answers is no part of the mean.
    assert found.macro_f1 == pytest.approx((0.5 + 2 / 3) / 3)
    assert found.support.tolist() == [2, 1, 1, 0]
    assert found.answered.tolist() == [2, 2, 0, 0]


def test_the_metrics_of_an_epoch_have_the_macro_f1():
    logits = np.eye(3)[[0, 1, 1, 0]]
    found = classification_metrics(logits, np.array([0, 0, 1, 2]))["macro_f1"]
    assert found == pytest.approx((0.5 + 2 / 3) / 3)


def test_an_image_without_an_answer_is_found_in_no_class():
    """Of two images of class 0, one is right and one has no answer."""
    found = class_figures(np.array([0, 0, 1]), np.array([0, -1, 1]), 2)
    assert (found.recall.tolist(), found.precision.tolist()) == ([0.5, 1.0], [1.0, 1.0])
    assert (found.support.tolist(), found.answered.tolist()) == ([2, 1], [1, 1])
