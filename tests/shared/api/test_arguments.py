"""Arguments whose type Python does not check: each is refused by name."""

from pathlib import Path

import pandas as pd
import pytest

from poc.shared.api.arguments import read_optional_path, read_path, read_settings
from poc.shared.api.results import RunResult
from poc.shared.errors import UsageError


def test_paths_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_path("runs/a b", "folder") == Path("runs/a b")
    assert read_path(Path("x"), "folder") == Path("x")
    assert read_path("~/x", "folder") == tmp_path / "x"
    assert read_optional_path(None, "output") is None
    assert read_optional_path("x", "output") == Path("x")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, r"^Got folder=None\."),
        (3, r"^Got folder=3\."),
        (b"x", r"^Got folder=b'x'\."),
        ("", r"^Got folder=''\."),
        ("a\0b", r"^Got folder='a\\x00b'\."),
        (["x"], r'^Got folder of type list\. .*Try folder="PATH"\.$'),
        (
            RunResult(folder=Path("x"), row=pd.Series()),
            r"^Got folder of type RunResult\. .*Try its folder, folder=result\.folder\.$",
        ),
    ],
)
def test_what_is_no_path_is_refused(value, words):
    with pytest.raises(UsageError, match=words):
        read_path(value, "folder")


def test_settings_are_a_mapping():
    assert read_settings(None) == {}
    assert read_settings({"k": 3}) == {"k": 3}
    for value in (["k=3"], "k=3", {"k"}):
        with pytest.raises(UsageError, match=rf"^Got settings of type {type(value).__name__}\."):
            read_settings(value)
