"""The peak of a process, in bytes on every system."""

import numpy as np
import pytest

from poc.shared.engine.machine import peak_memory


@pytest.mark.parametrize(("system", "expected"), [("linux", 2048), ("darwin", 2)])
def test_the_unit_of_each_system(system, expected, monkeypatch):
    monkeypatch.setattr(peak_memory.sys, "platform", system)
    assert peak_memory.to_bytes(2) == expected


def test_the_peak_has_what_was_held():
    size = 50_000_000
    held = np.ones(size, dtype=np.uint8)
    assert peak_memory.own_peak_bytes() > held.nbytes
    # The peak of a Python process with NumPy is far below a hundred times that.
    assert peak_memory.own_peak_bytes() < 100 * size
