"""What the look at every file accepts, the run decodes, with the size that was announced.

Files are put together with odd EXIF blocks, TIFF tags and PNG chunks, and opened as a folder is.
"""

import random
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.sources.table import open_source
from poc.tests.helpers.damage.fuzzing import bounded, mutate
from poc.tests.reference.image_files import LETTERS, exif, jpeg, png, tiff

NUM_CASES = 2100
# At least this share is accepted, or the test would show little.
MIN_ACCEPTED = 0.15
TAGS = (0x112, 0x213, 0x11A, 0x128, 0x132, 0x201, 0x202, 0x8769, 0x8825, 0x9286, 0xA005, 0x4746)
TIFF_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 280, 281, 284, 317, 320)
TIFF_TAGS += (322, 323, 324, 325, 330, 338, 339, 340, 341, 347, 530, 532, 700, 33723, 34675, 34665)
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 32, 64, 255, 256, 4095, 65_535, 70_000, 1 << 31)
XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
CHUNKS = (b"tRNS", b"sBIT", b"gAMA", b"PLTE", b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"acTL", b"fcTL")
CHUNKS += (b"bKGD", b"pHYs", b"iCCP", b"cHRM", b"IDAT", b"sRGB", b"orNT", b"fdAT", b"hIST")


def draw_pixels(draw, channels, kinds=(np.uint8, np.uint16)):
    generator = np.random.default_rng(draw.randrange(1 << 30))
    kind = draw.choice(kinds)
    top = draw.choice((np.iinfo(kind).max, np.iinfo(kind).max // 16))
    shape = (draw.randint(1, 9), draw.randint(1, 9), channels)
    return generator.integers(0, top + 1, shape).astype(kind)


def draw_entry(draw):
    """A type of any kind and some values that fit it."""
    kind = draw.choice(tuple(LETTERS))
    if LETTERS[kind] in "fd":
        return kind, [draw.choice((0.0, 1.5, float("nan"), -1e30, float("inf")))]
    limit = {"B": 255, "b": 127, "H": 65_535, "h": 32_767, "I": (1 << 32) - 1, "i": (1 << 31) - 1}
    values = [draw.choice(NUMBERS) % (limit[LETTERS[kind]] + 1) for _ in range(draw.randint(1, 4))]
    return kind, values


def draw_block(draw):
    """An EXIF block with an orientation, other tags, and sometimes damage."""
    entries = {draw.choice(TAGS): draw_entry(draw) for _ in range(draw.randint(0, 4))}
    if draw.random() < 0.7:
        entries[0x112] = (3, [draw.randint(0, 9)])
    lies = {draw.choice(TAGS): draw.choice((0, 2, 1 << 20))} if draw.random() < 0.2 else {}
    block = exif(entries, draw.choice("<>"), lies)
    return mutate(block, draw) if draw.random() < 0.3 else block


def draw_exif(draw):
    pixels = draw_pixels(draw, draw.choice((1, 3)), (np.uint8,))
    block = draw_block(draw)[:60_000]
    if draw.random() < 0.5:
        return ".jpg", jpeg(pixels[..., 0] if pixels.shape[2] == 1 else pixels, block)
    return ".png", png(pixels, 2 if pixels.shape[2] == 3 else 0, before=[(b"eXIf", block)])


def draw_tags(draw):
    channels = draw.choice((1, 1, 3, 4))
    pixels = draw_pixels(
        draw, channels, (np.uint8, np.uint16, np.uint32)[: 3 if channels < 2 else 2]
    )
    photometric = draw.choice((0, 1) if channels == 1 else (2, 2, 5, 6, 8))
    tags = {draw.choice(TIFF_TAGS): draw_entry(draw) for _ in range(draw.randint(0, 2))}
    if channels == 4 and photometric == 2:
        tags.setdefault(338, (3, [draw.randint(0, 2)]))
    if draw.random() < 0.5:
        tags[274] = (3, [draw.randint(0, 9)])
    lies = {draw.choice(TIFF_TAGS): draw.randint(0, 9)} if draw.random() < 0.1 else {}
    forms = {"order": draw.choice("<>"), "deflate": draw.random() < 0.4}
    forms["planar"] = draw.random() < 0.2
    return ".tif", tiff(pixels, photometric, tags=tags, counts=lies, **forms)


def draw_chunk(draw):
    kind = draw.choice(CHUNKS)
    if kind == b"eXIf":
        return kind, draw_block(draw)
    if kind == b"iTXt" and draw.random() < 0.7:
        return kind, XMP + b'<a tiff:Orientation="%d"/>' % draw.randint(0, 9)
    if kind == b"sBIT":
        return kind, bytes(draw.randint(0, 17) for _ in range(draw.randint(0, 4)))
    return kind, draw.randbytes(draw.choice((0, 1, 2, 3, 6, 8, 26, 60)))


def draw_chunks(draw):
    colour_type = draw.choice((0, 2, 3, 4, 6))
    kinds = (np.uint8,) if colour_type == 3 else (np.uint8, np.uint16)
    pixels = draw_pixels(draw, {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type], kinds)
    before = [draw_chunk(draw) for _ in range(draw.randint(0, 3))]
    if colour_type == 3:
        before.insert(0, (b"PLTE", draw.randbytes(3 * draw.randint(1, 256))))
    after = [draw_chunk(draw) for _ in range(draw.randint(0, 1))]
    return ".png", png(pixels, colour_type, before=before, after=after)


FAMILIES = {"exif": draw_exif, "tags": draw_tags, "chunks": draw_chunks}


def write_cases(root, family, num_cases):
    draw = random.Random(f"{family} 1")
    for name in "ab":
        (root / name).mkdir(parents=True)
        Image.new("RGB", (3, 2)).save(root / name / "sound.png")
    for index in range(num_cases):
        suffix, content = FAMILIES[family](draw)
        (root / "ab"[index % 2] / f"{index:05d}{suffix}").write_bytes(content)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_accepted_is_decoded_in_the_announced_size(tmp_path, monkeypatch, family):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_cases(tmp_path / "set", family, NUM_CASES)
    with bounded(seconds=600), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = open_source(f"folder:{tmp_path / 'set'}", on_error="skip")
        for index, (height, width) in enumerate(source.image_sizes):
            image = source.image(index)
            assert (image.shape, image.dtype) == ((height, width, 3), np.uint8), source.ids[index]
    reasons = Counter(error.split("(")[0] for error in source.unreadable.values())
    assert len(source) + len(source.unreadable) == NUM_CASES + 2
    assert len(source) > MIN_ACCEPTED * NUM_CASES, reasons
    assert reasons.keys() <= {"is no image that Pillow knows", "cannot be decoded "}
    print(f"{family}: {NUM_CASES} files, {len(source)} accepted and decoded; {dict(reasons)}")


def test_grey_sets_are_decoded_as_grey(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw = random.Random(2)
    for index in range(120):
        path = tmp_path / "set" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(draw_pixels(draw, 2), 4))
    source = open_source(f"folder:{tmp_path / 'set'}")
    assert source.channels == 1
    for index, (height, width) in enumerate(source.image_sizes):
        assert source.image(index).shape == (height, width, 1)
