"""The ledger: what ended stays, half a line does not, another study is refused."""

import pytest

from poc.shared.actions.study import ledger
from poc.shared.actions.study.ledger import LEDGER, open_ledger
from poc.shared.errors import UsageError

SAME = {"data": "folder:photos", "frameworks": ("torch", "tf")}


def append(folder, entry, definition=SAME):
    with open_ledger(folder, definition) as opened:
        opened.append(entry)


def entries(folder, definition=SAME):
    with open_ledger(folder, definition) as opened:
        return opened.entries


def test_entries_stay(tmp_path):
    append(tmp_path / "study", {"cell": "a", "loss": float("inf")})
    assert entries(tmp_path / "study") == [{"cell": "a", "loss": None}]


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path):
    folder = tmp_path / "study"
    append(folder, {"cell": "a"})
    with (folder / LEDGER).open("a") as file:
        file.write('{"cell": "b", "stat')
    assert [entry["cell"] for entry in entries(folder)] == ["a"]
    append(folder, {"cell": "c"})
    assert [entry["cell"] for entry in entries(folder)] == ["a", "c"]


def test_another_study_is_refused_and_named(tmp_path):
    append(tmp_path / "study", {"cell": "a"})
    with pytest.raises(UsageError, match=r"\(data differ\)"):
        entries(tmp_path / "study", {**SAME, "data": "folder:others"})


def test_the_study_of_another_version_is_named_so(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "FORMAT", "poc study 1")
        append(tmp_path / "study", {"cell": "a"})
    with pytest.raises(UsageError, match="another version of poc has begun"):
        entries(tmp_path / "study")


def test_a_study_that_has_trained_nothing_may_be_corrected(tmp_path):
    assert not entries(tmp_path / "study")
    other = {**SAME, "data": "folder:others"}
    append(tmp_path / "study", {"cell": "a"}, other)
    assert entries(tmp_path / "study", other)


@pytest.mark.parametrize("name", ["notes.txt", "."])
def test_a_place_with_other_content_is_refused(name, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no study"):
        entries(tmp_path / name)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_studies_in_one_folder_are_refused_before_a_file_changes(tmp_path):
    folder = tmp_path / "study"
    with open_ledger(folder, SAME) as opened:
        opened.append({"cell": "a"})
        # A line that the first one writes now.
        with (folder / LEDGER).open("a") as file:
            file.write('{"cell": "b')
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        for definition in (SAME, {**SAME, "data": "folder:others"}):
            with pytest.raises(UsageError, match="a study runs now"):
                entries(folder, definition)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [entry["cell"] for entry in entries(folder)] == ["a"]
