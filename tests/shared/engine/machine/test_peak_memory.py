"""The peak of a process, in bytes on every system."""

import subprocess
import sys

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


def test_a_process_does_not_begin_with_the_peak_of_the_one_that_started_it():
    """A notebook with gigabytes starts a worker: the row of its run has the worker's bytes."""
    held = np.ones(300_000_000, dtype=np.uint8)
    code = (
        "from poc.shared.engine.machine.peak_memory import own_peak_bytes; print(own_peak_bytes())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert int(found.stdout) < held.nbytes / 2


def test_without_the_file_of_linux_the_system_is_asked(tmp_path, monkeypatch):
    own = peak_memory.own_peak_bytes()
    monkeypatch.setattr(peak_memory, "STATUS", tmp_path / "status")
    # At least as much, since it may have been another process's.
    assert peak_memory.own_peak_bytes() >= 0.99 * own
    (tmp_path / "status").write_text("Name: python\nVmHWM:\t    2000 kB\n")
    assert peak_memory.own_peak_bytes() == 2_048_000
