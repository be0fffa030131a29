"""Columns of a run with two sizes: its activations are those of a few images."""

from types import SimpleNamespace

import numpy as np
import pytest

from poc.shared.engine.summary.fixres_columns import NUM_IMAGES, describe_activations


class CountedPart:
    """A test part of constant images (H, W, C), which counts the batches that are read."""

    def __init__(self, sizes):
        self.sizes, self.num_read, self.is_closed = sizes, 0, False

    def epoch(self, epoch):
        first = 0
        try:
            for size in self.sizes:
                self.num_read += 1
                values = np.arange(first, first + size, dtype=np.float32)
                yield SimpleNamespace(images=np.broadcast_to(values[:, None], (size, 2)))
                first += size
        finally:
            self.is_closed = True


def described(part):
    """What is said about a part, and the images that the backend was given."""
    given = []

    def features(run, weights, images, taps):
        given.append(images)
        return {taps[0]: images}

    network = SimpleNamespace(input_shape=(8, 8, 3), embedding="pool")
    run = SimpleNamespace(network=network, spec=None)
    trained = SimpleNamespace(
        run=SimpleNamespace(at_stage=lambda stage: run),
        data=SimpleNamespace(show=lambda spec: None, test=part),
        backend=SimpleNamespace(features=features),
    )
    return describe_activations(trained, "train", "after the first phase", {}), given[0]


@pytest.mark.parametrize(
    ("sizes", "num_read", "num_images"),
    [
        # A test part of ImageNet's size is not read for 64 images.
        ([40] * 1000, 2, NUM_IMAGES),
        ([128] * 3, 1, NUM_IMAGES),
        ([64, 64], 1, NUM_IMAGES),
        # A small part is read whole.
        ([20, 7], 2, 27),
    ],
)
def test_only_the_batches_of_its_images_are_read(sizes, num_read, num_images):
    part = CountedPart(sizes)
    row, images = described(part)
    assert (part.num_read, len(images), part.is_closed) == (num_read, num_images, True)
    assert row["mean"] == pytest.approx((num_images - 1) / 2)
    assert (row["size"], row["weights"]) == (8, "after the first phase")
