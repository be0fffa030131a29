"""Likely wrong labels: planted ones are found; without cleanlab the message says what to type."""

import sys

import numpy as np
import pytest

from poc.shared.analysis.suspects.wrong_labels import find_wrong_labels, require_cleanlab
from poc.shared.errors import UsageError


def planted(num_images=300, num_classes=3):
    """Answers that are sure of the true class, and labels of which 12 are those of the next one."""
    random = np.random.default_rng(0)
    true = np.arange(num_images) % num_classes
    logits = 4 * np.eye(num_classes)[true] + random.normal(size=(num_images, num_classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = true.copy()
    wrong = np.arange(5, num_images, 25)
    labels[wrong] = (true[wrong] + 1) % num_classes
    return shares, labels, true, wrong


def test_planted_errors_are_found_with_their_class():
    pytest.importorskip("cleanlab", reason="cleanlab is not installed: pip install 'poc[doctor]'")
    shares, labels, true, wrong = planted()
    found = find_wrong_labels(shares, labels)
    places = [item.place for item in found]
    # The number of wrong labels is an estimate: no more than there are, and most of them.
    assert set(places) <= set(wrong.tolist())
    assert len(places) >= 9
    for item in found:
        assert item.label == labels[item.place]
        assert item.suggested == shares[item.place].argmax()
        assert item.probability == pytest.approx(shares[item.place, item.label])
    probabilities = [item.probability for item in found]
    assert probabilities == sorted(probabilities)
    assert [item.suggested for item in found[:10]] == [true[item.place] for item in found[:10]]


def test_a_class_without_images_does_not_matter():
    pytest.importorskip("cleanlab", reason="cleanlab is not installed: pip install 'poc[doctor]'")
    shares, labels, _, _ = planted()
    wider = np.insert(shares, 1, 0.0, axis=1)
    moved = np.where(labels >= 1, labels + 1, labels)
    expected = [item.place for item in find_wrong_labels(shares, labels)]
    assert [item.place for item in find_wrong_labels(wider, moved)] == expected
    assert {item.label for item in find_wrong_labels(wider, moved)} <= {0, 2, 3}


def test_one_class_has_no_wrong_labels():
    assert find_wrong_labels(np.ones((30, 1)), np.zeros(30, dtype=np.int64)) == []


def test_any_number_of_labels():
    """Each label is a question of its own: one that is missing is found, and one too many."""
    pytest.importorskip("cleanlab", reason="cleanlab is not installed: pip install 'poc[doctor]'")
    random = np.random.default_rng(0)
    true = (random.random((200, 2)) < 0.4).astype(np.int64)
    shares = np.clip(0.08 + 0.84 * true + random.normal(0, 0.02, size=(200, 2)), 0, 1)
    labels = true.copy()
    missing = int(np.flatnonzero(true[:, 0])[0])
    excess = int(np.flatnonzero(1 - true[:, 1])[0])
    labels[missing, 0], labels[excess, 1] = 0, 1
    found = {(item.place, item.label) for item in find_wrong_labels(shares, labels)}
    assert found == {(missing, 0), (excess, 1)}


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    with pytest.raises(UsageError, match=r"cleanlab.*Try pip install 'poc\[doctor\]'"):
        require_cleanlab()
