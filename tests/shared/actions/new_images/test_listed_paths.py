"""Paths of a command line: files, folders, patterns and lists, in their order."""

import io
import os

import pytest

from poc.shared.actions.new_images.listed_paths import list_paths
from poc.shared.data.sources.inspection import ignore
from poc.shared.errors import UsageError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with images by name alone: nothing is opened."""
    for name in ("b.jpg", "a.png", "sub/c.jpg", "sub/notes.txt", ".hidden.jpg", "cat[1].jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(arguments, note=ignore, standard_input=None):
    return [item.name for item in list_paths(arguments, note, standard_input)]


def test_each_kind_of_path_in_the_given_order(place):
    notes = []
    found = names(["photos/b.jpg", "photos/*.png", "photos/sub", "gone.jpg"], notes.append)
    assert found == ["photos/b.jpg", "photos/a.png", "photos/sub/c.jpg", "gone.jpg"]
    assert len(notes) == 1
    assert "1 file that is no image (1 .txt)" in notes[0]


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_not_the_present_folder(place, path):
    """A variable of the shell that is not set would label every image below this folder."""
    with pytest.raises(UsageError, match=r"Got the path '.*Try \. for the present folder"):
        names(["photos/b.jpg", path])
    assert len(names(["."])) == 4


def test_a_pattern_looks_into_folders_and_skips_hidden_files(place):
    found = names(["photos/**/*.jpg"])
    assert found == [
        "photos/b.jpg", "photos/cat[1].jpg", "photos/sub/c.jpg",
    ]  # fmt: skip


def test_a_file_that_is_named_like_a_pattern_is_itself(place):
    assert names(["photos/cat[1].jpg"]) == ["photos/cat[1].jpg"]


@pytest.mark.parametrize(
    "content",
    [
        b"photos/b.jpg\nphotos/sub\n",
        b"photos/b.jpg\r\nphotos/sub\r\n\r\n",
        b"photos/b.jpg\0photos/sub\0",
    ],
)
def test_a_list_has_a_path_per_line_or_nul_bytes_between(content, place):
    assert names(["-"], standard_input=io.BytesIO(content)) == ["photos/b.jpg", "photos/sub/c.jpg"]


def test_a_list_keeps_spaces_and_bytes_that_are_not_utf_8(place):
    stream = io.BytesIO(b" a b .jpg\n\xff.jpg\n*.jpg\n")
    assert names(["-"], standard_input=stream) == [" a b .jpg", os.fsdecode(b"\xff.jpg"), "*.jpg"]


@pytest.mark.parametrize("is_list", [True, False])
def test_a_name_that_no_file_system_holds_is_an_item(is_list, place):
    """Its row then gives the reason: a list may be of anything."""
    path = "long" * 100
    lines = io.BytesIO(f"photos/b.jpg\n{path}\n".encode())
    arguments = ["-"] if is_list else ["photos/b.jpg", path]
    assert names(arguments, standard_input=lines) == ["photos/b.jpg", path]


def test_an_image_that_is_named_twice_is_listed_twice(place):
    assert names(["photos/b.jpg", "photos/b.jpg"]) == ["photos/b.jpg"] * 2


def test_a_folder_without_an_image_is_noted(place):
    notes = []
    assert names(["empty", "photos/b.jpg"], notes.append) == ["photos/b.jpg"]
    assert notes == ["No image file is below 'empty'."]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photos/*.gif"], r"^Got the pattern 'photos/\*\.gif', which matches no file"),
        (["empty"], r"^Got no image \('empty'\)"),
        (["-"], r"^Got no image \('-'\)"),
    ],
)
def test_nothing_to_label_is_refused(arguments, words, place):
    with pytest.raises(UsageError, match=words):
        names(arguments, standard_input=io.BytesIO())


def test_a_list_from_a_terminal_is_refused(place, monkeypatch):
    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal(io.BytesIO()))
    with pytest.raises(UsageError, match="nothing is piped into the command"):
        names(["-"])
