"""The machine: when this process began."""

import subprocess
import sys
import time

from poc.shared import machine
from poc.shared.machine import find_process_start

SCRIPT = """
import time
time.sleep(1)
from poc.shared.machine import find_process_start
print(find_process_start())
"""


def test_a_process_began_before_its_first_import():
    before = time.monotonic()
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    began = float(done.stdout)
    # The system counts in hundredths of a second.
    assert before - 0.05 <= began <= time.monotonic() - 1


def test_a_start_that_cannot_be_true_is_now(monkeypatch):
    """This process may be older than a minute, or a system may count from another moment."""
    monkeypatch.setattr(machine, "MOST_SECONDS", -1.0)
    before = time.monotonic()
    assert before <= find_process_start() <= time.monotonic()


def test_a_system_that_does_not_tell_gives_now(monkeypatch):
    monkeypatch.setattr(machine, "Path", lambda name: machine_path(name))
    before = time.monotonic()
    assert before <= find_process_start() <= time.monotonic()


def machine_path(name):
    raise OSError(name)
