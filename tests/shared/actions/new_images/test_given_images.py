"""Images that a user hands over: each kind, in the given order, decoded as a run decodes files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.new_images.given_images import (
    Item,
    collect_images,
    read_picture,
    split_array,
)
from poc.shared.data.sources.base import to_array
from poc.shared.data.sources.inspection import ignore
from poc.shared.errors import UsageError

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (6, 9, 3), dtype=np.uint8)
ORIENTATION = 0x0112


def decode(content, channels=3):
    """One given thing, as the network's picture: (H, W, C) uint8."""
    return to_array(read_picture(collect_images(content, ignore)[0], channels))


def turned(orientation):
    """A picture whose EXIF data say that it must be turned."""
    picture = Image.fromarray(PIXELS)
    picture.getexif()[ORIENTATION] = orientation
    return picture


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rgb.png", lambda: Image.fromarray(PIXELS)),
        ("grey.png", lambda: Image.fromarray(PIXELS[..., 0])),
        ("alpha.png", lambda: Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]]))),
        ("grey_alpha.png", lambda: Image.fromarray(PIXELS).convert("LA")),
        ("palette.png", lambda: Image.fromarray(PIXELS).quantize(16)),
        ("bits.png", lambda: Image.fromarray(PIXELS[..., 0]).convert("1")),
        ("deep.png", lambda: Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 200 + 77)),
        ("inks.tif", lambda: Image.fromarray(PIXELS).convert("CMYK")),
        ("turned.png", lambda: turned(6)),
        ("mirrored.png", lambda: turned(5)),
    ],
)
def test_a_picture_in_memory_is_decoded_like_its_file(name, make, channels, tmp_path):
    picture = make()
    exif = picture.getexif()
    picture.save(tmp_path / name, **({"exif": exif} if len(exif) else {}))
    expected = decode(tmp_path / name, channels)
    assert expected.shape[2] == channels
    assert np.array_equal(decode(picture, channels), expected)
    assert np.array_equal(decode(Image.open(tmp_path / name), channels), expected)


def test_values_by_hand():
    """EXIF 6 turns clockwise; half transparent black on white is grey; 16 bits are over 257."""
    assert np.array_equal(decode(turned(6)), np.rot90(PIXELS, -1))
    half = np.zeros((1, 1, 4), dtype=np.uint8)
    half[..., 3] = 128
    assert decode(Image.fromarray(half)).tolist() == [[[127, 127, 127]]]
    assert decode(half).tolist() == [[[127, 127, 127]]]
    deep = Image.fromarray(np.array([[0, 257 * 100, 65535]], dtype=np.uint16))
    assert decode(deep, 1)[..., 0].tolist() == [[0, 100, 255]]


def test_arrays_of_every_shape_are_images():
    four = np.stack([PIXELS, PIXELS[::-1]])
    for array, count in ((PIXELS, 1), (PIXELS[..., 0], 1), (PIXELS[..., :1], 1), (four, 2)):
        assert len(split_array(array)) == count
    assert np.array_equal(decode(PIXELS), PIXELS)
    assert np.array_equal(decode(four), PIXELS)
    assert np.array_equal(decode(PIXELS[..., 0], 1)[..., 0], PIXELS[..., 0])


@pytest.mark.parametrize(
    "array",
    [
        PIXELS / 255,
        PIXELS.astype(np.int64),
        np.zeros((4, 5, 2), dtype=np.uint8),
        np.zeros((2, 0, 5, 3), dtype=np.uint8),
        np.zeros((1, 2, 3, 4, 3), dtype=np.uint8),
    ],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(UsageError, match=r"^Got an array of shape .*Expected .*uint8"):
        split_array(array)


@pytest.mark.parametrize("images", [3, [None], [[PIXELS]], {"a": 1}])
def test_other_things_are_refused(images):
    with pytest.raises(UsageError, match=r"^Got an image of type (int|NoneType|list|dict)"):
        collect_images(images, ignore)


@pytest.mark.parametrize("images", [[], (), np.zeros((0, 4, 4, 3), dtype=np.uint8)])
def test_no_image_is_refused(images):
    with pytest.raises(UsageError, match=r"^Got (no image|an array of shape \(0,)"):
        collect_images(images, ignore)


@pytest.fixture
def photos(tmp_path):
    """A folder of two images, one below it, and things that are none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "more/c.png", ".hidden.png"):
        stream = io.BytesIO()
        Image.fromarray(PIXELS).save(stream, "PNG")
        (folder / name).write_bytes(stream.getvalue())
    (folder / "notes.txt").write_text("no image")
    (folder / "more" / "._c.png").write_text("of macOS")
    return folder


def test_a_folder_stands_for_the_images_below_it(photos):
    notes = []
    names = [item.name for item in collect_images(str(photos), notes.append)]
    assert names == [str(photos / name) for name in ("a.JPG", "b.png", "more/c.png")]
    assert len(notes) == 1
    assert "1 file that is no image (1 .txt)" in notes[0]


@pytest.mark.parametrize("images", ["", ["a.png", ""]])
def test_an_empty_path_is_refused(photos, images, monkeypatch):
    monkeypatch.chdir(photos)
    with pytest.raises(UsageError, match=r"Got the path ''"):
        collect_images(images, ignore)


def test_links_to_folders_are_followed_once(photos):
    (photos / "more" / "again").symlink_to(photos)
    (photos / "other").symlink_to(photos / "more")
    names = [item.name for item in collect_images(photos, ignore)]
    assert names == [str(photos / name) for name in ("a.JPG", "b.png", "more/c.png")]


def test_a_mixed_list_keeps_its_order_and_numbers(photos, monkeypatch):
    monkeypatch.chdir(photos)
    four = np.stack([PIXELS, PIXELS])
    items = collect_images(["b.png", Image.fromarray(PIXELS), four, Path("a.JPG")], ignore)
    assert [item.name for item in items] == ["b.png", 1, 2, 3, "a.JPG"]
    assert items[0].content == Path("b.png")


def test_unreadable_files_are_named_before_work_starts(photos):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:60])
    (photos / "empty.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"^Got 3 of 5 files that cannot be read") as caught:
        collect_images([photos, "gone.png"], ignore)
    for word in ("b.png' cannot be decoded", "empty.png' is empty", "gone.png' cannot be opened"):
        assert word in str(caught.value)


def test_a_picture_that_cannot_be_reduced_is_named():
    floats = Image.fromarray(np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(UsageError, match=r"^Got the image 4, which .*floating-point"):
        read_picture(Item(4, floats), 3)
