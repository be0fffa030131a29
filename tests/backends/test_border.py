"""The way of arrays to a device that is not here."""

import pytest


@pytest.mark.parametrize(
    "backend", [pytest.param("torch", marks=pytest.mark.torch)], scope="session"
)
def test_arrays_leave_for_a_gpu_from_pinned_memory_and_nobody_waits(backend, probe):
    """TensorFlow's runtime does so by itself."""
    assert probe.call("copies", devices=["cpu", "cuda"]) == [[], ["pin", "cuda later"]]
