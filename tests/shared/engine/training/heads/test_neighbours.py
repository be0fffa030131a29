"""Nearest neighbours: scikit-learn's classifier on the same features, ties, and what is stored."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from poc.shared.engine.numerics.metrics import probabilities
from poc.shared.engine.training.heads.neighbours import fit_neighbours
from poc.shared.spec.networks.layers.neighbours import NearestNeighbours
from poc.tests.reference.layers import nearest_neighbours

COUNT, SIZE, CLASSES, MOST = 50, 6, 4, 12


def draw():
    generator = np.random.default_rng(3)
    labels = np.arange(COUNT) % CLASSES
    features = generator.normal(size=(COUNT, SIZE)) + 2 * np.eye(SIZE)[labels]
    return features, labels, generator.normal(size=(40, SIZE)) + 0.5


def declare(**options):
    return NearestNeighbours(units=CLASSES, num_stored=COUNT, most_neighbours=MOST, **options)


@pytest.mark.parametrize("k", [1, 5, 12])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equal_votes_are_those_of_scikit_learn(metric, k):
    """Its shares, with one more vote that all classes share."""
    features, labels, unseen = draw()
    layer = declare(metric=metric)
    logits = nearest_neighbours(layer, fit_neighbours(features, labels, k, layer), unseen)
    model = KNeighborsClassifier(n_neighbors=k, metric=metric).fit(features, labels)
    expected = (k * model.predict_proba(unseen) + 1 / CLASSES) / (k + 1)
    found = probabilities(logits, is_multi_label=False)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert np.array_equal(logits.argmax(axis=1), model.predict(unseen))


def test_weighted_votes_are_scikit_learn_s_with_a_weight_of_its_user():
    """exp((1 - distance) / T): scikit-learn's cosine distance is 1 less the similarity."""
    features, labels, unseen = draw()
    layer = declare(sharpness=1 / 0.07)
    logits = nearest_neighbours(layer, fit_neighbours(features, labels, 9, layer), unseen)
    model = KNeighborsClassifier(
        n_neighbors=9, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
    ).fit(features, labels)
    expected = (9 * model.predict_proba(unseen) + 1 / CLASSES) / 10
    found = probabilities(logits, is_multi_label=False)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_what_is_stored():
    features, labels, _ = draw()
    features[0] = 0.0
    weights = fit_neighbours(features, labels, 3, declare())
    shapes = {p.name: p.shape for p in declare().parameters([(SIZE,)])}
    assert {name: value.shape for name, value in weights.items()} == shapes
    lengths = np.linalg.norm(weights["features"], axis=1)
    np.testing.assert_allclose(lengths, [0.0, *[1.0] * (COUNT - 1)], atol=1e-15)
    assert weights["rank"].tolist() == [0, 0, 1, *[0] * (MOST - 3)]
    assert np.array_equal(weights["labels"].argmax(axis=1), labels)
    plain = fit_neighbours(features, labels, 3, declare(metric="euclidean"))
    assert np.array_equal(plain["features"], features)


def test_all_that_are_as_near_as_the_last_one_vote():
    """Two neighbours are asked for; three are equally near, in any order of the images."""
    layer = NearestNeighbours(units=3, num_stored=4, most_neighbours=2, metric="euclidean")
    features = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [9.0, 9.0]])
    labels = np.array([0, 1, 1, 2])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        weights = fit_neighbours(features[order], labels[order], 2, layer)
        logits = nearest_neighbours(layer, weights, np.array([[0.0, 0.0]]))
        # Three votes, and a fourth that is shared: 1 + 1/3, 2 + 1/3 and 1/3 of 4.
        np.testing.assert_allclose(np.exp(logits[0]), [1 / 3, 7 / 12, 1 / 12], rtol=1e-12)
