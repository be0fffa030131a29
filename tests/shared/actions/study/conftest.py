"""Studies without waits for the disk: their tests write hundreds of small files."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Leave out the waits that only the loss of power would need."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
