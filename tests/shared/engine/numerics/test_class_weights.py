"""Class weights: balanced ones against scikit-learn's, and the mean that a loss is divided by."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from poc.shared.engine.numerics.class_weights import balanced_weights, mean_class_weight
from poc.shared.errors import UsageError

NAMES = ("cat", "dog", "owl")


def test_balanced_weights_are_scikit_learn_s():
    labels = np.random.default_rng(0).choice(3, size=1000, p=[0.9, 0.08, 0.02])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced_weights(labels, NAMES), expected, rtol=1e-15)


def test_balanced_weights_by_hand():
    """Four cats, one dog, one owl: 6 / (3 * 4), 6 / 3, 6 / 3; together they count as six."""
    labels = np.array([0, 0, 0, 0, 1, 2])
    assert balanced_weights(labels, NAMES) == (0.5, 2.0, 2.0)
    assert mean_class_weight(balanced_weights(labels, NAMES), labels) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("labels", "words"), [([0, 2], "class 'dog'. "), ([1], "class 'cat' and 1 more. ")]
)
def test_a_class_without_an_image_is_refused(labels, words):
    with pytest.raises(UsageError, match=words):
        balanced_weights(np.array(labels), NAMES)


def test_the_mean_is_of_the_examples_not_of_the_classes():
    weights = [1.0, 3.0, 0.0]
    assert mean_class_weight(weights, np.array([0, 0, 0, 1])) == 1.5
    # The labels of two batches give the mean of an update that adds up both.
    assert mean_class_weight(weights, np.array([0, 0, 0, 1, 2, 2])) == 1.0
    assert mean_class_weight(weights, np.array([2, 2])) == 1.0


def test_soft_labels_are_averaged_over_the_examples():
    assert mean_class_weight([1.0, 3.0], np.array([[0.5, 0.5], [0.0, 1.0]])) == 1.0
