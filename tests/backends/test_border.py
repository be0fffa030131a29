"""The way of arrays to a device that is not here."""

import numpy as np
import pytest

from poc.tests.helpers.workers.probe import copies, strides, workspace_setting

TORCH_ALONE = pytest.mark.parametrize(
    "backend", [pytest.param("torch", marks=pytest.mark.torch)], scope="session"
)


@TORCH_ALONE
def test_arrays_leave_for_a_gpu_from_pinned_memory_and_nobody_waits(backend, probe):
    """TensorFlow's runtime does so by itself."""
    assert probe.call(copies, devices=["cpu", "cuda"]) == [[], ["pin", "cuda later"]]


@TORCH_ALONE
def test_a_deterministic_run_tells_cublas_so(backend, probe):
    """Older versions of PyTorch refuse matrix products on a GPU otherwise."""
    runs = [{"backend": "torch", "deterministic": value} for value in (False, True)]
    assert probe.call(workspace_setting, runs=runs) == [None, ":4096:8"]


@TORCH_ALONE
@pytest.mark.parametrize(
    ("channels", "last", "first"),
    [
        (3, [105, 1, 21, 3], [105, 35, 7, 1]),
        # Convolutions tell the layout of a single channel by the stride of its axis.
        (1, [35, 1, 7, 1], [35, 35, 7, 1]),
    ],
)
def test_a_batch_lies_in_memory_as_the_layout_says(channels, last, first, backend, probe):
    images = np.zeros((2, 5, 7, channels), np.float32)
    found = probe.call(strides, images=images, layouts=["channels_last", "channels_first"])
    assert found == [last, first]
