"""The folder of uploads: what is refused before it is decoded, what it holds, what it drops."""

import os
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.demonstration import uploads as module
from poc.shared.actions.demonstration.uploads import (
    MAX_FOLDER_BYTES,
    SECONDS_KEPT,
    Uploads,
    find_problem,
)


def chunk(name, content):
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def announce(width, height, bits=8, colour=2):
    """A PNG whose header announces a size that its few bytes do not have."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = (
        chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + content


def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("../../cat.png", b"1")
    return (tmp_path / "a.zip").read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"no image", "is no image that Pillow knows"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "is no image"),
        (b"<!doctype html><script>alert(1)</script>", "is no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),
        (archive, "is no image"),
        (announce(7_100, 7_100), "has 7100 x 7100 pixels, above 50,000,000"),
        (announce(5_000, 5_000, bits=16), "has 5000 x 5000 pixels, above 20,000,000"),
        (announce(5_000, 5_000, bits=16, colour=0), "has 5000 x 5000 pixels, above 20,000,000"),
        (announce(12_000, 12_000), "has 12000 x 12000 pixels, above"),
        (announce(1 << 30, 1 << 30), "announces more than 50,000,000 pixels"),
        (announce(7_000, 7_000), ""),
        (announce(4_000, 5_000, bits=16), ""),
    ],
)  # fmt: skip
def test_what_is_not_decoded(content, words, tmp_path):
    """The ending of a name decides nothing."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(content(tmp_path) if callable(content) else content)
    found = find_problem(path)
    assert words in found
    assert bool(found) == bool(words)
    assert "\n" not in found
    assert str(tmp_path) not in found


def test_a_file_above_the_limit_is_refused_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILE_BYTES", module.MEBIBYTE)
    path = tmp_path / "large.png"
    path.write_bytes(bytes(2 * module.MEBIBYTE))
    assert find_problem(path) == "has 2 MiB, above 1"
    path.write_bytes(bytes(100))
    assert find_problem(path) == "is no image that Pillow knows"


def test_a_pipe_and_a_missing_file_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "named pipe" in find_problem(tmp_path / "pipe.png")
    assert find_problem(tmp_path / "gone.png").startswith("cannot be opened")


def write_dicom(path, rows, deflated=False):
    pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    plain = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    data.file_meta.TransferSyntaxUID = plain
    data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Rows, data.Columns, data.PhotometricInterpretation = rows, rows, "MONOCHROME2"
    data.SamplesPerPixel = 1
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = bytes(16)
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def test_dicom_is_measured_too(tmp_path):
    path = tmp_path / "a.dcm"
    write_dicom(path, 4)
    assert find_problem(path) == ""
    write_dicom(path, 4_500)
    assert find_problem(path) == "has 4500 x 4500 pixels, above 20,000,000"
    write_dicom(path, 4, deflated=True)
    assert "deflated as a whole" in find_problem(path)


@pytest.fixture
def uploads(tmp_path):
    (tmp_path / "in").mkdir()
    return Uploads(tmp_path / "in")


def put(uploads, name, num_bytes=10, age=0.0):
    path = uploads.folder / name / "a.png"
    path.parent.mkdir()
    path.write_bytes(bytes(num_bytes))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    ("path", "is_held"),
    [
        ("{}/hash/a.png", True),
        ("{}/hash/../../b.png", False),
        ("{}", False),
        ("{}/", False),
        ("{}/hash", False),
        ("{}/../in2/a.png", False),
        ("{}2/a.png", False),
        ("/etc/passwd", False),
        ("a.png", False),
        ("http://127.0.0.1/a.png", False),
        ("{}/a\0.png", False),
        ("", False),
    ],
)
def test_only_paths_below_the_folder_are_held(path, is_held, uploads):
    (uploads.folder / "hash").mkdir()
    assert uploads.holds(path.format(uploads.folder)) is is_held


def test_old_files_go_and_new_ones_stay(uploads):
    old, new = put(uploads, "old", age=SECONDS_KEPT + 5), put(uploads, "new")
    empty = uploads.folder / "empty"
    empty.mkdir()
    then = time.time() - SECONDS_KEPT - 5
    os.utime(empty, (then, then))
    loose = uploads.folder / "tmp1"
    loose.touch()
    os.utime(loose, (then, then))
    uploads.sweep()
    assert not old.exists()
    assert not empty.exists()
    assert not loose.exists()
    assert new.exists()


def test_the_folder_has_an_end(uploads):
    assert not uploads.reserve(MAX_FOLDER_BYTES + 1)
    put(uploads, "one", num_bytes=100)
    assert not uploads.reserve(MAX_FOLDER_BYTES - 99)
    assert uploads.reserve(MAX_FOLDER_BYTES - 100)


def test_uploads_that_are_coming_take_room_too(uploads):
    half = MAX_FOLDER_BYTES // 2
    assert uploads.reserve(half)
    assert uploads.reserve(half)
    assert not uploads.reserve(1)
    uploads.release(half)
    assert uploads.reserve(half)


def test_a_photo_of_several_visitors_stays_for_the_last_one(uploads):
    path = put(uploads, "hash")
    for _ in range(3):
        uploads.note(path)
    for _ in range(2):
        uploads.discard(path)
        assert path.exists()
    uploads.discard(path.parent / "." / "x" / ".." / path.name)
    assert not path.parent.exists()


def test_the_same_photo_under_another_name_stays(uploads):
    """Both files are in the folder that their content names."""
    path = put(uploads, "hash")
    other = path.with_name("b.png")
    other.write_bytes(path.read_bytes())
    uploads.discard(path)
    assert not path.exists()
    assert other.exists()


def test_an_answer_deletes_nothing_while_an_upload_lands(uploads):
    path = put(uploads, "hash")
    uploads.note(path)
    uploads.start_landing()
    # The second visitor's file has taken the place of the first one's, and is not noted yet.
    uploads.discard(path)
    assert path.exists()
    uploads.note(path)
    uploads.end_landing()
    assert path.exists()
    uploads.discard(path)
    assert not path.exists()


def test_an_upload_that_nobody_asked_about_keeps_no_later_one(uploads):
    path = put(uploads, "hash", age=SECONDS_KEPT + 5)
    uploads.note(path)
    uploads.sweep()
    assert not path.exists()
    path.parent.mkdir(exist_ok=True)
    path.touch()
    uploads.note(path)
    uploads.discard(path)
    assert not path.exists()


def test_an_answered_photo_goes_with_its_folder(uploads):
    path, other = put(uploads, "one"), put(uploads, "two")
    uploads.discard(path)
    assert not path.parent.exists()
    assert other.exists()
    loose = uploads.folder / "loose.png"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(loose)
    uploads.discard(loose)
    assert not loose.exists()
    assert other.exists()


@pytest.mark.parametrize("name", ["hash", ".", "a.png/b.png", "a" * 300, "\ud800/\ud800.png"])
def test_what_cannot_be_deleted_keeps_no_photo_of_others(name, uploads):
    """One visitor may ask about anything; the photos of all others are deleted all the same."""
    put(uploads, "hash")
    (uploads.folder / "a.png").touch()
    other = put(uploads, "other")
    uploads.note(other)
    uploads.holds(f"{uploads.folder}/{name}")
    uploads.discard(uploads.folder / name)
    uploads.discard(other)
    assert not other.exists()
    uploads.sweep()
    assert uploads.reserve(1)
