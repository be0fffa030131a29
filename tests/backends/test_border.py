"""The way of arrays to a device that is not here."""

import numpy as np
import pytest

TORCH_ALONE = pytest.mark.parametrize(
    "backend", [pytest.param("torch", marks=pytest.mark.torch)], scope="session"
)


@TORCH_ALONE
def test_arrays_leave_for_a_gpu_from_pinned_memory_and_nobody_waits(backend, probe):
    """TensorFlow's runtime does so by itself."""
    assert probe.call("copies", devices=["cpu", "cuda"]) == [[], ["pin", "cuda later"]]


@TORCH_ALONE
def test_a_batch_lies_in_memory_as_the_layout_says(backend, probe):
    images = np.zeros((2, 5, 7, 3), np.float32)
    found = probe.call("strides", images=images, layouts=["channels_last", "channels_first"])
    assert found == [[105, 1, 21, 3], [105, 35, 7, 1]]
