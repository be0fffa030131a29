"""From bytes to pixels: orientation, depth and transparency, whatever the format says them by."""

import io
import os
import socket
import struct

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.sources.decoding import decode, decode_file, describe_error, inspect_file
from poc.tests.reference.image_files import SHORT, exif, jpeg, png, tiff

DRAW = np.random.default_rng(0)
ORIENTATION = 0x112
# The orientation that a file announces -> what its pixels must undergo.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def pixels_of(content, channels=None):
    return np.asarray(decode(content, channels).picture)


def draw(*shape, kind=np.uint16):
    return DRAW.integers(0, np.iinfo(kind).max + 1, shape).astype(kind)


def eight(values, top=65_535):
    """An independent rounding: floats, halves upwards."""
    return np.floor(np.asarray(values, dtype=np.float64) / top * 255 + 0.5).astype(np.uint8)


def facts_of(folder, content, name="file.img"):
    (folder / name).write_bytes(content)
    return inspect_file(folder / name)


ORIENTED = {
    "tiff": lambda a, tag: tiff(a, 2, tags={ORIENTATION: (SHORT, [tag])}),
    "tiff deflate": lambda a, tag: tiff(a, 2, deflate=True, tags={ORIENTATION: (SHORT, [tag])}),
    "png": lambda a, tag: png(a, 2, before=[(b"eXIf", exif({ORIENTATION: (SHORT, [tag])}))]),
    "png, behind": lambda a, tag: png(a, 2, after=[(b"eXIf", exif({ORIENTATION: (SHORT, [tag])}))]),
    "png, XMP": lambda a, tag: png(
        a,
        2,
        before=[(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<a tiff:Orientation="%d"/>' % tag)],
    ),
}


@pytest.mark.parametrize("form", ORIENTED)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_picture_is_turned_once_and_has_the_announced_size(tmp_path, form, kind, orientation):
    stored = draw(4, 7, 3, kind=kind)
    content = ORIENTED[form](stored, orientation)
    expected = TURNS[orientation](stored)
    expected = eight(expected) if kind == np.uint16 else expected
    assert np.array_equal(pixels_of(content), expected)
    facts = facts_of(tmp_path, content)
    assert (facts.height, facts.width, facts.error) == (*expected.shape[:2], "")


def test_a_turned_tiff_set_is_read_in_its_announced_shape(tmp_path, monkeypatch):
    from poc.shared.data.sources.table import open_source

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("a/0", "b/1"):
        path = tmp_path / "set" / f"{name}.tif"
        path.parent.mkdir(parents=True)
        path.write_bytes(tiff(draw(24, 40, 3, kind=np.uint8), 2, tags={ORIENTATION: (SHORT, [6])}))
    source = open_source(f"folder:{tmp_path / 'set'}")
    assert source.image_shape == source.image(0).shape == (40, 24, 3)


BAD_TAGS = {
    "a value too large": {0x213: (4, [70_000])},
    "text for a number": {0x11A: (2, list(b"one\0"))},
    "a user comment": {0x9286: (7, list(b"\xff" * 9))},
}


@pytest.mark.parametrize("tags", BAD_TAGS.values(), ids=BAD_TAGS)
def test_orientation_beside_malformed_exif(tmp_path, tags):
    stored = draw(8, 16, kind=np.uint8)
    content = jpeg(stored, exif({ORIENTATION: (SHORT, [6]), **tags}))
    plain = pixels_of(jpeg(stored))
    assert np.array_equal(pixels_of(content), np.rot90(plain, -1))
    facts = facts_of(tmp_path, content)
    assert (facts.height, facts.width, facts.error) == (16, 8, "")


def webp(pixels, block):
    """A WebP with an EXIF block as it is."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True, exif=block)
    return buffer.getvalue()


BAD_BLOCKS = {
    "jpeg": lambda pixels, block: jpeg(pixels, block, dpi=(72, 72)),
    "png": lambda pixels, block: png(pixels, 2, before=[(b"eXIf", block)]),
    "webp": lambda pixels, block: webp(pixels, b"Exif\0\0" + block),
}


@pytest.mark.parametrize("form", BAD_BLOCKS)
@pytest.mark.parametrize("block", [bytes(16), b"II*\0\x08\0\0"], ids=["zeros", "cut off"])
def test_a_block_that_is_no_exif_is_as_if_absent(tmp_path, form, block):
    stored = np.repeat(draw(8, 16, 1, kind=np.uint8), 3, axis=2)
    content = BAD_BLOCKS[form](stored, block)
    assert facts_of(tmp_path, content).error == ""
    expected = pixels_of(jpeg(stored)) if form == "jpeg" else stored
    assert np.array_equal(pixels_of(content, 3), expected)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("deflate", [False, True])
def test_white_is_zero_is_inverted_at_every_depth(kind, deflate):
    stored = draw(5, 6, kind=kind)
    expected = eight(np.iinfo(kind).max - stored.astype(np.int64), np.iinfo(kind).max)
    assert np.array_equal(pixels_of(tiff(stored, 0, deflate=deflate)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(
    ("channels", "extra"), [(3, None), (4, 0), (4, 1), (4, 2)], ids=["RGB", "X", "pre", "alpha"]
)
def test_16_bit_colours_of_tiff_are_rounded(order, deflate, channels, extra):
    stored = draw(6, 5, channels)
    if extra == 1:
        stored[..., :3] = np.minimum(stored[..., :3], stored[..., 3:])
    tags = {} if extra is None else {338: (SHORT, [extra])}
    decoded = pixels_of(tiff(stored, 2, order=order, deflate=deflate, tags=tags))
    share = stored / 65_535
    colours, alpha = share[..., :3], share[..., 3:]
    expected = {
        None: lambda: colours,
        0: lambda: colours,
        1: lambda: colours + 1 - alpha,
        2: lambda: colours * alpha + 1 - alpha,
    }[extra]()
    # Nearest: half a step, and what one rounding to 16 bits adds.
    assert np.abs(decoded - 255 * expected).max() <= 0.5 + 255 / 65_535


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_of_png_are_rounded(colour_type, channels):
    stored = draw(6, 5, channels)
    stored[0, 0, 0] = 128  # Cut off, this and 129 would be equal.
    share = stored / 65_535
    if channels in (2, 4):
        share = share[..., :-1] * share[..., -1:] + 1 - share[..., -1:]
    decoded = pixels_of(png(stored, colour_type)).reshape(*share.shape)
    assert np.abs(decoded - 255 * share).max() <= 0.5 + 255 / 65_535
    assert decode(png(stored, colour_type)).span is not None


def test_a_truncated_sample_would_be_another():
    stored = np.array([[[128, 129, 65_407], [257, 385, 386]]], dtype=np.uint16)
    assert pixels_of(png(stored, 2)).tolist() == [[[0, 1, 255], [1, 1, 2]]]


def test_clear_colours_of_16_bits_are_named_whole():
    grey = np.array([[0x1234, 0x1235]], dtype=np.uint16)
    content = png(grey, 0, before=[(b"tRNS", struct.pack(">H", 0x1234))])
    assert pixels_of(content).tolist() == [[255, 18]]
    colours = np.array([[[0x1234, 5, 6], [0x1235, 5, 6]]], dtype=np.uint16)
    content = png(colours, 2, before=[(b"tRNS", struct.pack(">3H", 0x1234, 5, 6))])
    assert pixels_of(content).tolist() == [[[255] * 3, [18, 0, 0]]]


RAMP = np.linspace(0, 4095, 4096).astype(np.uint16).reshape(64, 64)
DEPTHS = {
    "sBIT, stored as they are": (lambda: png(RAMP, 0, before=[(b"sBIT", b"\x0c")]), RAMP, 4095),
    "sBIT, scaled": (
        lambda: png(RAMP << 4 | RAMP >> 8, 0, before=[(b"sBIT", b"\x0c")]),
        RAMP,
        4095,
    ),
    "sBIT, shifted and dark": (
        lambda: png(RAMP // 16 * 16, 0, before=[(b"sBIT", b"\x0c")]),
        RAMP // 16 * 16,
        65_535,
    ),
    "no sBIT": (lambda: png(RAMP, 0), RAMP, 65_535),
    "sBIT of 16": (lambda: png(RAMP, 0, before=[(b"sBIT", b"\x10")]), RAMP, 65_535),
    "MaxSampleValue": (lambda: tiff(RAMP, 1, tags={281: (SHORT, [4095])}), RAMP, 4095),
    "MaxSampleValue, a statistic": (
        lambda: tiff(RAMP, 1, tags={281: (SHORT, [5000])}),
        RAMP,
        65_535,
    ),
    "int32": (lambda: tiff(RAMP.astype(np.uint32), 1), RAMP, 65_535),
}


@pytest.mark.parametrize(("make", "values", "top"), DEPTHS.values(), ids=DEPTHS)
def test_the_range_is_what_the_file_says(tmp_path, make, values, top):
    content = make()
    expected = eight(values, top)
    assert np.array_equal(pixels_of(content), expected)
    assert facts_of(tmp_path, content).span == int(expected.max()) - int(expected.min())


def test_12_bits_of_tiff_are_a_range_of_their_own():
    """Two samples in three bytes, the upper bits first: 0xABC and 0xFFF."""
    stored = np.array([[0xAB, 0xCF, 0xFF]], dtype=np.uint8)
    content = tiff(stored, 1, tags={256: (SHORT, [2]), 258: (SHORT, [12])})
    assert pixels_of(content).tolist() == [eight([0xABC, 0xFFF], 4095).tolist()]


SIGNED = {339: (SHORT, [2])}
OUTSIDE = {
    "signed 32 bits": (
        lambda: tiff(np.array([[-1024, 3071]], np.int32), 1, tags=SIGNED),
        "its pixels are -1,024 to 3,071",
    ),
    "signed 16 bits": (
        lambda: tiff(np.array([[-1, 7]], np.int16), 1, tags=SIGNED),
        "its pixels are -1 to 7",
    ),
    "signed 8 bits": (lambda: tiff(np.array([[-1, 7]], np.int8), 1, tags=SIGNED), "are signed"),
    "large": (lambda: tiff(np.array([[0, 65_536]], np.uint32), 1), "its pixels are 0 to 65,536"),
    "above what it says": (
        lambda: tiff(np.array([[0, 300]], np.uint16), 1, tags={281: (SHORT, [255])}),
        "its largest pixel is 300, its MaxSampleValue 255",
    ),
    "planes of 16 bits": (lambda: tiff(draw(3, 3, 3), 2, planar=True), "plane by plane"),
}


@pytest.mark.parametrize(("make", "words"), OUTSIDE.values(), ids=OUTSIDE)
def test_what_has_no_8_bit_form_is_refused_by_name(tmp_path, make, words):
    error = facts_of(tmp_path, make()).error
    assert error.startswith("cannot be decoded (")
    assert words in error


def test_signed_pixels_that_are_none_below_0_are_read():
    stored = np.array([[0, 127]], np.int8)
    assert pixels_of(tiff(stored, 1, tags=SIGNED)).tolist() == [[0, 127]]


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(str(path))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_pipe, "a named pipe"),
        (make_socket, "a socket"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
def test_what_is_no_regular_file_is_not_opened(tmp_path, monkeypatch, make, words):
    monkeypatch.chdir(tmp_path)  # The path of a socket must be short.
    path = type(tmp_path)("p.jpg")
    make(path)
    assert inspect_file(path).error == f"cannot be decoded (it is {words} and no regular file)"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 bytes)"),
        # A size of P6 that is no number: the reader's own words are "invalid literal for int()".
        (
            b"P6\n1x 1\n255\nabc",
            "cannot be decoded (it is damaged, or of a kind that its reader does not know)",
        ),
        (
            b"P5\n99999 99999\n255\n",
            "cannot be decoded (it announces more than 178,956,970 pixels)",
        ),
    ],
)
def test_a_run_and_an_inspection_say_the_same_in_plain_words(content, words, tmp_path):
    path = tmp_path / "zero.jpg"
    path.write_bytes(content)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any kind, which is then described
        decode_file(path, 3)
    assert describe_error(caught.value, path) == inspect_file(path).error == words


def test_too_little_memory_is_no_damage(tmp_path):
    assert "too little memory" in describe_error(MemoryError(), tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_grey_is_what_has_no_colours(tmp_path, mode):
    form = "PNG" if mode in ("1", "L", "LA", "P", "RGB", "RGBA") else "TIFF"
    Image.fromarray(draw(4, 4, 3, kind=np.uint8)).convert(mode).save(tmp_path / "x", form)
    assert inspect_file(tmp_path / "x").is_grey == (mode in ("1", "L", "LA"))
