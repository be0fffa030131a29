"""The patch of occlusion: its places, its colour, and what a pixel's value is."""

import numpy as np
import pytest

from poc.shared.actions.explanations.occlusion import list_starts, plan_patches
from poc.shared.errors import UsageError


@pytest.mark.parametrize(
    ("side", "patch", "stride", "starts"),
    [
        (7, 3, 2, [0, 2, 4]),
        # The last place is moved back to the edge.
        (8, 3, 2, [0, 2, 4, 5]),
        (4, 4, 1, [0]),
        (5, 1, 1, [0, 1, 2, 3, 4]),
    ],
)
def test_places_reach_both_edges(side, patch, stride, starts):
    assert list_starts(side, patch, stride) == starts


def test_a_patch_has_the_mean_colour_of_its_picture():
    image = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    patches = plan_patches(2, 3, 1, 1)
    covered = np.concatenate(list(patches.cover(image, 4)))
    assert covered.shape == (6, 2, 3, 2)
    for place, one in enumerate(covered):
        row, column = divmod(place, 3)
        # The channels are 0, 2 … 10 and 1, 3 … 11.
        assert one[row, column].tolist() == [5.0, 6.0]
        changed = (one != image).any(axis=-1)
        assert changed.sum() == 1
        assert changed[row, column]
    assert image.ravel().tolist() == list(range(12))


def test_batches_are_no_larger_than_asked_for():
    image = np.zeros((4, 4, 1), np.float32)
    sizes = [len(batch) for batch in plan_patches(4, 4, 2, 1).cover(image, 4)]
    assert sizes == [4, 4, 1]


def test_a_pixel_has_the_mean_of_its_patches():
    """Two patches of two pixels in a row of three: the middle one is below both."""
    patches = plan_patches(2, 3, 2, 1)
    assert patches.spread(np.array([[1.0, -3.0]])).tolist() == [[1.0, -1.0, -3.0]] * 2


def test_every_pixel_is_covered_by_default():
    for height, width in [(28, 28), (64, 48), (5, 9), (1, 1), (224, 224)]:
        patches = plan_patches(height, width)
        ones = np.ones((len(patches.rows), len(patches.columns)))
        assert np.array_equal(patches.spread(ones), np.ones((height, width)))
    assert (patches.patch, patches.stride) == (32, 16)


@pytest.mark.parametrize(
    ("patch", "stride", "words"),
    [
        (0, None, "Got --patch 0 for pictures of 8x9 pixels. Expected 1 to 8"),
        (9, None, "Got --patch 9"),
        (3, 4, "Got --stride 4 with a patch of 3 pixels. Expected 1 to 3"),
        (None, 0, "Got --stride 0"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch, stride, words):
    with pytest.raises(UsageError, match=words):
        plan_patches(8, 9, patch, stride)
