"""Batches that threads prepare: in order, with problems in place, and few at a time."""

import threading

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.new_images import preparation
from poc.shared.actions.new_images.given_images import Item
from poc.shared.actions.new_images.preparation import BATCHES_AHEAD, prepare_ahead
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.spec.data import DataSpec

VIEW = EvaluationView(DataSpec(image_size=(4, 4), normalization="none"), (4, 4, 3))
FIVE = EvaluationView(
    DataSpec(image_size=(4, 4), eval_view={"resize": "shorter_side", "crop": "five"}), (4, 4, 3)
)


def make_items(count, damaged=()):
    """Pictures whose level is their position; arrays of floats in place of the damaged ones."""
    return [
        Item(
            index,
            Image.new("F", (6, 6)) if index in damaged else Image.new("RGB", (6, 6), (index,) * 3),
        )
        for index in range(count)
    ]


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_images_come_in_order_without_those_that_cannot_be_read(batch_size, num_threads):
    damaged = {0, 5, 6, 7, 8}
    items = make_items(11, damaged)
    found = list(prepare_ahead(items, VIEW, batch_size=batch_size, num_threads=num_threads))
    assert [item for batch in found for item in batch.items] == items
    problems = [problem for batch in found for problem in batch.problems]
    assert {index for index, problem in enumerate(problems) if problem} == damaged
    assert all("floating-point" in problem for problem in problems if problem)
    levels = np.concatenate([batch.images for batch in found])[:, 0, 0, 0]
    assert np.unique(levels).tolist() == sorted(set(levels.tolist())) == levels.tolist()
    assert len(levels) == 6


def test_a_batch_of_problems_alone_has_no_image():
    [batch] = prepare_ahead(make_items(2, {0, 1}), VIEW, batch_size=5, num_threads=1)
    assert batch.images.shape == (0, 4, 4, 3)


def test_the_crops_of_an_image_lie_together():
    batches = prepare_ahead(make_items(5, {1}), FIVE, batch_size=3, num_threads=2)
    assert [len(batch.images) for batch in batches] == [10, 10]


def test_few_batches_are_held_at_a_time(monkeypatch):
    begun, lock = [], threading.Lock()

    def count(item, view):
        with lock:
            begun.append(item.name)
        return np.zeros((1, 4, 4, 3), dtype=np.uint8)

    monkeypatch.setattr(preparation, "read_view", count)
    batches = prepare_ahead(make_items(100), VIEW, batch_size=5, num_threads=2)
    for number in range(1, 5):
        next(batches)
        assert len(begun) <= 5 * (number + BATCHES_AHEAD)
    batches.close()
    assert len(begun) < 100
