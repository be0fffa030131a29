"""The error of a network without blocks: images with labels, and images of several crops."""

import numpy as np
import pytest

from poc.shared.actions.ablation import measure_error
from poc.shared.spec.run import RunSpec


class StubWorker:
    """Stands for a worker; an image is its own logits, and the first block costs them all."""

    def call(self, operation, *, run, weights, images):
        assert operation.__name__ == "logits"
        return -images[:, 0, 0] if run["model"]["removed"] else images[:, 0, 0]


def as_images(logits):
    return np.asarray(logits, dtype=np.float32)[:, None, None, :]


def error_of(logits, labels, removed=(), **view):
    run = RunSpec.parse({"data": {"eval_view": view}}, "")
    batches = [(as_images(logits), np.asarray(labels))]
    return measure_error(StubWorker(), run, {}, batches, removed)


def test_an_image_with_labels_is_right_if_all_of_them_are():
    labels = [[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]]
    logits = [[2, -1, 1], [-1, 1, 3], [-1, -2, -1], [1, 1, 1]]
    assert error_of(logits, labels) == 0.25
    assert error_of(logits, labels, removed=("block1",)) == 1.0


def test_an_image_of_one_class():
    assert error_of([[2, 1], [0, 1], [3, 0], [0, 1]], [0, 1, 1, 1]) == 0.25


@pytest.mark.parametrize(("average", "error"), [("logits", 0.0), ("softmax", 0.5)])
def test_the_crops_of_an_image_are_answered_together(average, error):
    """Of the first image one crop is very sure of the right class, and four prefer the other."""
    first, second = [[9, 0], *[[0, 2]] * 4], [[0, 1]] * 5
    assert error_of([*first, *second], [0, 1], crop="five", average=average) == error
