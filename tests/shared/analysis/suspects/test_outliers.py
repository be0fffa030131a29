"""Neighbourhoods against a slow search, planted outliers, near copies."""

import numpy as np
import pytest

from poc.shared.analysis.suspects import outliers
from poc.shared.analysis.suspects.outliers import (
    Neighbourhood,
    copy_limit,
    find_neighbourhood,
    find_outliers,
    near_copies,
)


def clusters(num_images=120):
    """Embeddings around four directions."""
    random = np.random.default_rng(0)
    centres = np.eye(8)[:4] * 5
    return centres[np.arange(num_images) % 4] + random.normal(size=(num_images, 8))


@pytest.mark.parametrize("num_values", [1 << 22, 1000, 1])
def test_blocks_give_the_neighbours_of_a_slow_search(num_values, monkeypatch):
    monkeypatch.setattr(outliers, "BLOCK_VALUES", num_values)
    features = clusters(40)
    near = find_neighbourhood(features)
    lengths = np.sqrt((features**2).sum(axis=1))
    for index in range(40):
        apart = 1 - features @ features[index] / (lengths * lengths[index])
        apart[index] = np.inf
        order = np.argsort(apart, kind="stable")[:10]
        assert near.places[index].tolist() == order.tolist()
        np.testing.assert_allclose(near.distances[index], apart[order], atol=1e-12)


def test_fewer_images_than_neighbours():
    assert find_neighbourhood(np.eye(3)).places.shape == (3, 2)


def test_planted_outliers_are_found_and_nothing_else():
    """Two of 122 images point where no other does."""
    features = np.concatenate([clusters(), -20 * np.eye(8)[[6, 7]]])
    found = find_outliers(find_neighbourhood(features))
    assert sorted(found.places) == [120, 121]
    assert min(found.distances) > found.limit
    assert find_outliers(find_neighbourhood(clusters())).places == []


def test_the_fence_is_three_halves_of_the_spread_above_the_upper_quartile():
    """Distances of e^0 to e^4: the quartiles of the logarithms are 1 and 3, the fence is e^6."""
    logs = np.array([0.0, 1, 2, 3, 4])
    near = Neighbourhood(np.zeros((5, 1), dtype=np.int64), np.exp(logs)[:, None])
    assert find_outliers(near).limit == pytest.approx(np.exp(6))


def test_a_copy_is_far_nearer_than_neighbours_are():
    features = clusters()
    features[7] = features[3] * 2 + 1e-3
    near = find_neighbourhood(features)
    pairs = [row for block in near_copies(near) for row in zip(*block, strict=True)]
    assert {(int(first), int(second)) for first, second, _ in pairs} == {(3, 7)}
    assert copy_limit(near) == pytest.approx(0.1 * np.median(near.distances[:, 0]))
