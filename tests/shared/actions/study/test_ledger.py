"""The ledger: what ended stays, half a line does not, another study is refused."""

import pytest

from poc.shared.actions.study.ledger import LEDGER, locked, open_folder
from poc.shared.errors import UsageError

SAME = {"data": "folder:photos", "frameworks": ("torch", "tf")}


def test_entries_stay(tmp_path):
    open_folder(tmp_path / "study", SAME).append({"cell": "a", "loss": float("inf")})
    assert open_folder(tmp_path / "study", SAME).entries == [{"cell": "a", "loss": None}]


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path):
    folder = tmp_path / "study"
    open_folder(folder, SAME).append({"cell": "a"})
    with (folder / LEDGER).open("a") as file:
        file.write('{"cell": "b", "stat')
    ledger = open_folder(folder, SAME)
    assert [entry["cell"] for entry in ledger.entries] == ["a"]
    ledger.append({"cell": "c"})
    assert [entry["cell"] for entry in open_folder(folder, SAME).entries] == ["a", "c"]


def test_another_study_is_refused_and_named(tmp_path):
    open_folder(tmp_path / "study", SAME).append({"cell": "a"})
    with pytest.raises(UsageError, match=r"\(data differ\)"):
        open_folder(tmp_path / "study", {**SAME, "data": "folder:others"})


def test_a_study_that_has_trained_nothing_may_be_corrected(tmp_path):
    open_folder(tmp_path / "study", SAME)
    other = {**SAME, "data": "folder:others"}
    open_folder(tmp_path / "study", other).append({"cell": "a"})
    assert open_folder(tmp_path / "study", other).entries


def test_a_folder_with_other_content_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no study"):
        open_folder(tmp_path, SAME)


def test_two_studies_in_one_folder_are_refused(tmp_path):
    open_folder(tmp_path / "study", SAME)
    with (
        locked(tmp_path / "study"),
        pytest.raises(UsageError, match="runs now"),
        locked(tmp_path / "study"),
    ):
        pass
    with locked(tmp_path / "study"):
        pass
