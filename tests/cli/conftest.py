"""The command line without the lines that only a slow machine would add."""

import math

import pytest

from poc.shared.engine.console import heartbeat
from poc.shared.engine.launch import run as launch


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No line about what takes long or who is busy: these are a matter of the machine's load."""
    monkeypatch.setattr(launch, "describe_neighbours", lambda backend: "")
    monkeypatch.setattr(heartbeat, "FIRST_SECONDS", math.inf)
