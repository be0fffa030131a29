"""What `auto` became, and which settings of a split name no row of a report."""

import json

import pytest

from poc.shared.analysis.runs.groups import described, group_runs
from poc.shared.analysis.runs.reading import read_run
from poc.shared.analysis.runs.row_labels import cut_path, name_paths
from poc.shared.analysis.runs.split_kind import find_kind, list_unread
from poc.tests.shared.actions.new_images.test_label_files import photos, run, trained

__all__ = ["photos", "run", "trained"]


@pytest.mark.parametrize(
    ("kind", "notes", "found"),
    [
        ("kfold", [], "kfold"),
        ("auto", None, "auto"),
        ("auto", ["another note"], "published"),
        ("auto", ["photos publishes no parts: it is split into shares of 0.6."], "fractions"),
    ],
)
def test_auto_is_what_the_run_said_that_it_became(kind, notes, found):
    assert find_kind(kind, notes) == found


def test_the_note_is_the_one_that_a_run_writes(run):
    data = json.loads((run / "run.json").read_text())["data"]
    assert find_kind("auto", data["notes"]) == "fractions"


def test_only_settings_that_are_read_count():
    assert "data.split.fold" in list_unread("fractions")
    assert "data.split.fractions" not in list_unread("fractions")
    assert "data.split.fractions" in list_unread("published")
    assert "data.split.fold" not in list_unread("kfold")
    assert list_unread("a kind of a later version") == set()


def test_a_run_that_is_no_fold_has_no_fold_in_its_settings(run):
    found = read_run(run)
    settings = described(found.record.run, found)
    assert "data.split.fold" not in settings
    assert "data.split.fractions" in settings


def test_paths_of_one_machine_are_cut_as_far_as_they_differ(run):
    assert cut_path("folder:/home/me/photos", 1) == "folder:photos"
    assert cut_path("embedded", 1) == "embedded"
    assert cut_path("tfds:a/b", 1) == "tfds:a/b"
    assert name_paths({"/a/x/best", "/a/y/best"}) == {"/a/x/best": "x/best", "/a/y/best": "y/best"}


def test_rows_are_named_without_folders(run, tmp_path):
    """Two runs whose data was in two folders."""
    content = json.loads((run / "run.json").read_text())
    found = []
    for name in ("first", "second"):
        content["run"]["data"]["source"] = f"folder:{tmp_path}/{name}/photos"
        (run / "run.json").write_text(json.dumps(content))
        found.append(read_run(run))
    labels = [group.label for group in group_runs(found)]
    assert all(str(tmp_path) not in label for label in labels)
    assert sorted(labels) == ["folder:first/photos", "folder:second/photos"]
