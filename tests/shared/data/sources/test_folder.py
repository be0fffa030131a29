"""`folder:PATH`: every kind of file, every kind of trouble, and what is said about it."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.sources import inspection
from poc.shared.data.sources.base import to_array
from poc.shared.data.sources.class_folders.listing import count_suffixes, describe_ignored
from poc.shared.data.sources.decoding import decode_file, inspect_file
from poc.shared.data.sources.folder import open_folder
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.split import make_split
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.spec.data import SplitSpec


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    # The files of a test are younger than what a look may rely on.
    monkeypatch.setattr(inspection, "SECONDS_UNSURE", 0.0)
    return folder


def picture(seed=0, size=(12, 9), mode="RGB"):
    """A smooth random picture; size is (width, height)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def write(path, seed=0, size=(12, 9), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, size, mode).save(path, **options)
    return path


def make_folder(root, classes=("bird", "fish"), count=4, suffix=".jpg", below=""):
    for label, name in enumerate(classes):
        for index in range(count):
            write(root / below / name / f"{index}{suffix}", seed=10 * label + index)
    return root


def test_flat_folder(tmp_path):
    make_folder(tmp_path)
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == ("bird", "fish")
    assert source.ids[:2] == ("bird/0.jpg", "bird/1.jpg")
    assert source.labels.tolist() == [0] * 4 + [1] * 4
    assert source.partitions == {}
    assert source.image_shape == (9, 12, 3)
    with Image.open(tmp_path / "fish" / "2.jpg") as opened:
        expected = np.asarray(opened)
    assert np.array_equal(source.image(6), expected)


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "val", "test"), {"train", "val", "test"}),
        (("Training", "validation"), {"train", "val"}),
        (("train", "valid", "testing"), {"train", "val", "test"}),
    ],
)
def test_parts(tmp_path, folders, parts):
    for folder in folders:
        make_folder(tmp_path, below=folder)
    source = open_source(f"folder:{tmp_path}")
    assert set(source.partitions) == parts
    assert source.class_names == ("bird", "fish")
    for part, indices in source.partitions.items():
        assert len(indices) == 8
        assert {source.ids[index].split("/")[0].lower()[:3] for index in indices} == {
            "tra" if part == "train" else part[:3]
        }


def test_a_class_called_test_is_a_class(tmp_path):
    make_folder(tmp_path, classes=("test", "other"))
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == ("other", "test")
    assert source.partitions == {}


def test_files_below_a_class_belong_to_it(tmp_path):
    make_folder(tmp_path)
    write(tmp_path / "fish" / "sea" / "deep" / "9.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.ids[-1] == "fish/sea/deep/9.png"
    assert source.labels[-1] == 1


FORMATS = {
    "jpeg": {"suffix": ".jpg", "mode": "RGB"},
    "grey jpeg": {"suffix": ".jpeg", "mode": "L"},
    "cmyk jpeg": {"suffix": ".JPG", "mode": "CMYK"},
    "png": {"suffix": ".png", "mode": "RGB"},
    "palette": {"suffix": ".png", "mode": "P"},
    "one bit": {"suffix": ".png", "mode": "1"},
    "webp": {"suffix": ".webp", "mode": "RGB", "lossless": True},
    "bmp": {"suffix": ".bmp", "mode": "RGB"},
    "gif": {"suffix": ".gif", "mode": "P"},
    "tiff": {"suffix": ".tif", "mode": "RGB"},
}


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_decode_like_pillow(tmp_path, options, channels):
    options = dict(options)
    path = write(tmp_path / f"image{options.pop('suffix')}", mode=options.pop("mode"), **options)
    pixels = to_array(decode_file(path, channels))
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, expected.reshape(9, 12, channels))
    facts = inspect_file(path)
    assert (facts.height, facts.width, facts.error) == (9, 12, "")
    assert len(facts.digest) == 64


def test_16_bits_become_8_by_rounding(tmp_path):
    values = np.array([[0, 128, 129, 257, 32_896, 65_535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    pixels = to_array(decode_file(tmp_path / "deep.png", 1))
    assert pixels[..., 0].tolist() == [[0, 0, 1, 1, 128, 255]]
    assert inspect_file(tmp_path / "deep.png").is_grey


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(tmp_path, mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.convert(mode).save(tmp_path / "alpha.png")
    assert to_array(decode_file(tmp_path / "alpha.png", 3)).tolist() == [[[255] * 3, [0] * 3]]


def test_transparent_palette_lies_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    assert to_array(decode_file(tmp_path / "palette.png", 3)).tolist() == [
        [[255] * 3, [40, 50, 60]]
    ]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    # How a camera stores it: the inverse of what the tag asks a viewer to do.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert np.array_equal(to_array(decode_file(path, 1))[..., 0], upright)
    facts = inspect_file(path)
    assert (facts.height, facts.width) == (2, 3)


def test_grey_folders_stay_grey_and_mixed_ones_become_rgb(tmp_path):
    for index in range(4):
        write(tmp_path / "a" / f"{index}.png", index, mode="L")
        write(tmp_path / "b" / f"{index}.png", index, mode="L")
    assert open_source(f"folder:{tmp_path}").image_shape == (9, 12, 1)
    write(tmp_path / "b" / "colour.png")
    assert open_source(f"folder:{tmp_path}").image(0).shape == (9, 12, 3)


def damage(root):
    """One file of each kind of trouble; returns what must be named."""
    good = (root / "bird" / "0.jpg").read_bytes()
    (root / "bird" / "empty.jpg").write_bytes(b"")
    (root / "bird" / "text.png").write_text("no image", encoding="utf-8")
    (root / "fish" / "cut.jpg").write_bytes(good[: len(good) // 2])
    (root / "fish" / "ünlesbar.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "fish" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "fish" / "self.jpg").symlink_to(root / "fish" / "self.jpg")
    (root / "nothing").mkdir()
    return {
        "bird/empty.jpg": "is empty",
        "bird/text.png": "is no image",
        "fish/cut.jpg": "cannot be decoded",
        "fish/ünlesbar.jpg": "",
        "fish/gone.jpg": "cannot be opened (No such file",
        "fish/self.jpg": "cannot be opened (Too many levels",
    }


def test_trouble_is_refused_and_named(tmp_path):
    make_folder(tmp_path, count=6)
    damage(tmp_path)
    with pytest.raises(UsageError) as error:
        open_source(f"folder:{tmp_path}")
    message = str(error.value)
    assert "6 unreadable files and 1 empty class" in message
    assert "bird/empty.jpg is empty (0 bytes)" in message
    assert "bird/text.png is no image" in message
    assert "and 2 more" in message
    assert "data.on_error=skip" in message
    assert "\n" not in message


def test_trouble_is_left_out_and_counted(tmp_path):
    make_folder(tmp_path, count=6)
    expected = damage(tmp_path)
    source = open_source(f"folder:{tmp_path}", on_error="skip")
    assert source.unreadable.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in source.unreadable[name]
    assert source.empty_classes == ["nothing"]
    assert len(source) == 12
    assert source.class_names == ("bird", "fish")
    assert all(source.image(index).shape == (9, 12, 3) for index in range(12))


def test_a_name_that_is_no_text_is_named(tmp_path):
    make_folder(tmp_path)
    bad = os.fsencode(str(tmp_path / "bird")) + b"/\xff\xfe.jpg"
    with open(bad, "wb") as stream:  # noqa: PTH123 - pathlib cannot write such a name
        stream.write((tmp_path / "bird" / "0.jpg").read_bytes())
    with pytest.raises(UsageError, match="not UTF-8") as error:
        open_source(f"folder:{tmp_path}")
    str(error.value).encode("utf-8")
    assert len(open_source(f"folder:{tmp_path}", on_error="skip")) == 8


def test_names_are_composed(tmp_path):
    make_folder(tmp_path)
    write(tmp_path / "o\u0308l" / "u\u0308ber.jpg")
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == ("bird", "fish", "öl")
    assert source.ids[-1] == "öl/über.jpg"
    assert source.image(8).shape == (9, 12, 3)
    write(tmp_path / "o\u0308l" / "über.jpg")
    with pytest.raises(UsageError, match="accents"):
        open_source(f"folder:{tmp_path}")


def test_links_in_circles_end(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "bird" / "round").symlink_to(tmp_path / "bird", target_is_directory=True)
    (tmp_path / "fish" / "up").symlink_to(tmp_path, target_is_directory=True)
    source = open_source(f"folder:{tmp_path}")
    assert len(source) == 8
    assert sorted(source.loops) == ["bird/round", "fish/up"]


def test_a_linked_class_is_read(tmp_path):
    make_folder(tmp_path / "elsewhere")
    make_folder(tmp_path / "here", classes=("ape",))
    (tmp_path / "here" / "bird").symlink_to(tmp_path / "elsewhere" / "bird")
    assert open_source(f"folder:{tmp_path / 'here'}").class_names == ("ape", "bird")


def test_other_files_are_left_aside(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "LICENSE").write_text("text", encoding="utf-8")
    (tmp_path / "bird" / "notes.csv").write_text("a,b", encoding="utf-8")
    (tmp_path / "bird" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "bird" / "._0.jpg").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    source = open_source(f"folder:{tmp_path}")
    assert len(source) == 8
    # `.git` is somebody's own, and hidden; what macOS left is told.
    assert source.ignored == ["LICENSE", "bird/.DS_Store", "bird/._0.jpg", "bird/notes.csv"]


def test_what_a_system_put_there_is_no_class_and_is_told(tmp_path):
    make_folder(tmp_path / "train")
    for folder in ("__MACOSX/train/bird", "train/__MACOSX/bird", "train/bird/@eaDir"):
        (tmp_path / folder).mkdir(parents=True)
        write(tmp_path / folder / "picture.jpg")
    (tmp_path / "train" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "train" / "fish" / "desktop.ini").write_bytes(b"x")
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == open_source(f"folder:{tmp_path / 'train'}").class_names
    assert "__MACOSX" not in source.class_names
    assert len(source) == 8
    assert sorted(source.ignored) == [
        "__MACOSX/", "train/Thumbs.db", "train/__MACOSX/", "train/bird/@eaDir/",
        "train/fish/desktop.ini",
    ]  # fmt: skip
    assert describe_ignored(source.ignored) == "5 files or folders that macOS or Windows made"
    assert count_suffixes(source.ignored) == {"of a system": 5}


def test_names_with_line_breaks_are_read_and_shown_in_one_line(tmp_path):
    make_folder(tmp_path, classes=("a\nb", "c\x1b[2Jd"))
    source = open_source(f"folder:{tmp_path}")
    assert source.class_names == ("a\nb", "c\x1b[2Jd")
    (tmp_path / "a\nb" / "broken\r.jpg").write_bytes(b"x")
    with pytest.raises(UsageError) as caught:
        open_source(f"folder:{tmp_path}")
    assert "a\\nb/broken\\r.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "there is no folder"),
        (lambda root: root.mkdir(), "no class folders"),
        (lambda root: make_folder(root, classes=("only",)), r"images of 1 class\."),
        (lambda root: root.write_text("x", encoding="utf-8"), "there is no folder"),
    ],
)
def test_folders_without_classes_are_refused(tmp_path, make, words):
    make(tmp_path / "set")
    with pytest.raises(UsageError, match=words):
        open_source(f"folder:{tmp_path / 'set'}")


def test_a_file_that_breaks_during_a_run_is_named(tmp_path):
    make_folder(tmp_path)
    source = open_source(f"folder:{tmp_path}")
    (tmp_path / "bird" / "1.jpg").write_bytes(b"")
    with pytest.raises(CheckFailed, match=r"1\.jpg', which was readable when the run began"):
        source.image(1)


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch):
    make_folder(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(open_source(f"folder:{tmp_path}")) == 8


def test_the_same_files_elsewhere_have_the_same_fingerprint(tmp_path):
    first, second = (make_folder(tmp_path / name, count=20) for name in ("one", "two"))
    sources = [open_source(f"folder:{root}") for root in (first, second)]
    assert sources[0].fingerprint == sources[1].fingerprint
    splits = [make_split(source, SplitSpec()) for source in sources]
    assert splits[0].fingerprint == splits[1].fingerprint


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "float.tif")
    assert inspect_file(tmp_path / "float.tif").error == (
        "cannot be decoded (holds floating-point pixels)"
    )


@pytest.mark.slow
def test_a_hundred_thousand_entries(tmp_path):
    first = write(tmp_path / "a" / "000000.png", size=(4, 4))
    write(tmp_path / "b" / "000000.png", seed=1, size=(4, 4))
    for index in range(1, 50_000):
        for name in ("a", "b"):
            os.link(tmp_path / name / "000000.png", tmp_path / name / f"{index:06d}.png")
    assert first.stat().st_nlink == 50_000
    source = open_source(f"folder:{tmp_path}")
    assert len(source) == 100_000
    started = time.monotonic()
    assert len(open_source(f"folder:{tmp_path}")) == 100_000
    # The second time only names and times are read.
    assert time.monotonic() - started < 30


def test_links_that_lead_out_of_the_folder_are_told(tmp_path):
    outside, inside = tmp_path / "elsewhere", tmp_path / "photos"
    for folder in (outside, inside / "a", inside / "b"):
        folder.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "own.png")
    assert open_folder(f"folder:{inside}", inside).remarks == []
    # One that stays in the folder is nobody's business.
    (inside / "b" / "same.png").symlink_to(inside / "a" / "own.png")
    assert open_folder(f"folder:{inside}", inside).remarks == []
    (inside / "a" / "x.png").symlink_to(outside / "own.png")
    (told,) = open_folder(f"folder:{inside}", inside).remarks
    assert told == (
        f"1 file is a link to outside of '{inside}', such as 'a/x.png'; the files that they lead "
        "to are read."
    )
    (inside / "c").symlink_to(outside)
    (told,) = open_folder(f"folder:{inside}", inside).remarks
    assert told.startswith("2 files are links to outside of")
    # The folder itself may be a link.
    (tmp_path / "link").symlink_to(outside.parent / "plain")
    (tmp_path / "plain" / "a").mkdir(parents=True)
    (tmp_path / "plain" / "b").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (4, 4)).save(tmp_path / "plain" / name / "own.png")
    assert open_folder("folder:link", tmp_path / "link").remarks == []


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.heic"], "1 image of a kind that is not read, convert it (1 .heic)"),
        (["a.heic", "b.heic"], "2 images of a kind that is not read, convert them (2 .heic)"),
        (["a.png"], "1 image that lies in no class folder (1 .png)"),
        (["a"], "1 file without a suffix"),
        (["a.txt", "b.csv"], "2 files that are no images (1 .csv, 1 .txt)"),
        ([".DS_Store"], "1 file or folder that macOS or Windows made"),
    ],
)
def test_one_and_several_are_told_as_such(names, told):
    assert describe_ignored(names) == told
