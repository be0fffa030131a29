"""The command line without the lines that only a slow machine would add."""

import math

import pytest

from poc.shared.engine import heartbeat


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No line about what takes long: whether one comes is a matter of the machine's load."""
    monkeypatch.setattr(heartbeat, "FIRST_SECONDS", math.inf)
