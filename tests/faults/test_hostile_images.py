"""Images that somebody sends: none crashes `poc predict`, fills the memory, or leads elsewhere."""

import io
import json
import os
import random
import struct
import tarfile
import warnings
import zipfile
import zlib

import pytest
from PIL import Image

from poc.tests.faults.test_fuzz import PICTURES
from poc.tests.helpers.damage.fuzzing import bounded, mutate
from poc.tests.shared.actions.new_images.test_label_files import label, photos, run, trained

__all__ = ["photos", "run", "trained"]
SUFFIXES = (".jpg", ".png", ".gif", ".tif", ".bmp", ".webp", ".dcm", ".heic", ".zip", "")


def zipped(name, content=b"x"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def tarred(name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    return buffer.getvalue()


def png_of(width, height, mode=2):
    """A PNG file that claims a size, with a line of pixels."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    pixels = zlib.compress(bytes(3 * min(width, 1000) + 1))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def narrow(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (9, 8, 7)).save(buffer, "PNG")
    return buffer.getvalue()


MADE = {
    "zip": zipped("../../escaped.jpg"),
    "zip bomb": zipped("a.jpg", bytes(50_000_000)),
    "tar": tarred("../../escaped"),
    "huge": png_of(2**31 - 1, 2**31 - 1),
    "large": png_of(60_000, 60_000),
    "wide": png_of(2**31 - 1, 1),
    "allowed, but cut": png_of(13_000, 13_000),
    "no width": png_of(0, 10),
    "a row": narrow(60_000, 1),
    "a column": narrow(1, 60_000),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
    "pickle": b"\x80\x04cos\nsystem\n(S'touch escaped'\ntR.",
    "html": b"<html><script>alert(1)</script></html>",
    "empty": b"",
    "zeros": bytes(100_000),
    "elf": b"\x7fELF" + bytes(100),
    "text": b"=cmd|' /C calc'!A0",
}


def make_places(folder):
    """Things with names of images that are no regular files."""
    os.mkfifo(folder / "fifo.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "nothing.jpg").symlink_to(folder / "gone")
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "passwd.jpg").symlink_to("/etc/passwd")
    (folder / "locked.jpg").write_bytes(b"x")
    (folder / "locked.jpg").chmod(0)
    return [
        folder / f"{name}.jpg" for name in ("fifo", "loop", "nothing", "device", "passwd", "locked")
    ]


def write_hostile(folder, num_files):
    """Return the paths of made files, odd places, and damaged copies of sound pictures."""
    draw, paths = random.Random(0), make_places(folder)
    for name, content in MADE.items():
        paths.append(folder / f"{name}.png")
        paths[-1].write_bytes(content)
    while len(paths) < num_files:
        paths.append(folder / f"{len(paths)}{draw.choice(SUFFIXES)}")
        paths[-1].write_bytes(mutate(draw.choice(PICTURES), draw))
    return paths


@pytest.mark.parametrize("num_files", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_each_hostile_file_gets_a_row(num_files, run, tmp_path):
    """In one call, with a sound image at the end that is labelled as if nothing had been."""
    folder = tmp_path / "sent"
    folder.mkdir()
    paths = write_hostile(folder, num_files)
    sound = folder / "sound.png"
    sound.write_bytes(PICTURES[0])
    before = {path: path.lstat().st_mtime_ns for path in paths}
    names = set(tmp_path.iterdir())
    lines, alone = [], []
    with warnings.catch_warnings(), bounded(seconds=900):
        # As in the command: Pillow warns of damage that it can mend.
        warnings.simplefilter("ignore")
        counts = label(run, [*paths, sound], lines, as_json=True)
        label(run, [sound], alone, as_json=True)
    rows = json.loads("\n".join(lines))["rows"]
    assert [row["file"] for row in rows] == [str(path) for path in (*paths, sound)]
    for row in rows:
        assert (row["label"] is None) == bool(row["problem"])
        assert "Traceback" not in row["problem"]
    made = rows[: 6 + len(MADE)]
    read = {row["file"].rsplit("/", 1)[1] for row in made if row["label"]}
    assert read == {"a row.png", "a column.png"}
    assert rows[-1] == json.loads("\n".join(alone))["rows"][0]
    assert counts.total() == len(paths) + 1
    assert {path: path.lstat().st_mtime_ns for path in paths} == before
    assert set(tmp_path.iterdir()) == names
    assert not any(path.name.startswith("escaped") for path in tmp_path.rglob("*"))
