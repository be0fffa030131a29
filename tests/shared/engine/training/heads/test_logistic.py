"""Logistic regression: scikit-learn's own answers, the optimum in NumPy, and rare classes."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from poc.shared.engine.numerics.metrics import probabilities
from poc.shared.engine.training.heads.logistic import GRADIENT_BOUND, fit_logistic
from poc.shared.spec.methods.fitted_heads import LogisticOptions
from poc.tests.reference.fitted_heads import logistic_gradient, logistic_loss

COUNT, SIZE = 60, 7


def draw(num_classes, count=COUNT):
    """Features of several scales, one of them constant, and labels that they hint at."""
    generator = np.random.default_rng(num_classes)
    labels = np.arange(count) % num_classes
    features = generator.normal(size=(count, SIZE)) + np.eye(SIZE)[labels]
    features = features * np.geomspace(0.1, 30, SIZE) + 2
    features[:, 0] = 5.0
    return features, labels


def logits_of(weights, features):
    return features @ weights["kernel"] + weights["bias"]


@pytest.mark.parametrize("c", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("standardize", [True, False])
def test_probabilities_are_those_of_scikit_learn(num_classes, c, standardize):
    """On images that it has not seen; standardised by its own pipeline."""
    features, labels = draw(num_classes)
    options = LogisticOptions(standardize=standardize)
    head = fit_logistic(features, labels, num_classes, c, options)
    model = LogisticRegression(C=c, tol=GRADIENT_BOUND, max_iter=options.max_iterations)
    whole = make_pipeline(*([StandardScaler()] if standardize else []), model)
    unseen = draw(num_classes, 90)[0][COUNT:]
    expected = whole.fit(features, labels).predict_proba(unseen)
    found = probabilities(logits_of(head.weights, unseen), is_multi_label=False)
    assert head.is_converged
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def unseen_gradient(features, loss, c):
    """The largest gradient whose step changes the loss by less than the rounding of its sum.

    The solver may end there, too. A gradient g lowers the loss by g^2 / 2h, with the curvature h.
    """
    terms = np.column_stack([features, np.ones(COUNT)])
    curvature = np.linalg.eigvalsh(terms.T @ terms).max() / 2 + 1 / c
    return np.sqrt(2 * curvature * COUNT * np.finfo(float).eps * loss)


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_gradient_is_zero_where_it_ends(c):
    """In NumPy, per image as the solver's bound is; a moved solution has a larger loss."""
    features, labels = draw(4)
    options = LogisticOptions(standardize=False)
    weights = fit_logistic(features, labels, 4, c, options).weights
    solution = (weights["kernel"], weights["bias"])
    least = logistic_loss(features, labels, *solution, c)
    bound = max(COUNT * 1e-6, unseen_gradient(features, least, c))
    for gradient in logistic_gradient(features, labels, *solution, c):
        assert np.abs(gradient).max() < bound
    generator = np.random.default_rng(0)
    for _ in range(5):
        moved = [value + 1e-3 * generator.normal(size=value.shape) for value in solution]
        assert logistic_loss(features, labels, *moved, c) > least


def test_a_class_without_images_is_never_the_answer():
    """The other columns are those of a fit without it."""
    features, labels = draw(3)
    whole = fit_logistic(features, labels, 3, 1.0, LogisticOptions()).weights
    labels = np.where(labels == 2, 4, labels)
    weights = fit_logistic(features, labels, 6, 1.0, LogisticOptions()).weights
    assert weights["kernel"].shape == (SIZE, 6)
    found = probabilities(logits_of(weights, features), is_multi_label=False)
    assert set(found.argmax(axis=1)) <= {0, 1, 4}
    assert found[:, [2, 3, 5]].max() < 1e-20
    for name, value in whole.items():
        assert np.array_equal(weights[name][..., [0, 1, 4]], value), name


def test_too_few_iterations_are_said():
    features, labels = draw(3)
    head = fit_logistic(features, labels, 3, 100.0, LogisticOptions(max_iterations=2))
    assert not head.is_converged
