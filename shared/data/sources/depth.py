"""Pictures of more than 8 bits a sample: read whole, and brought to 8 bits by one rule.

A sample v of a range 0 to top becomes 255 v / top, rounded. The top is 65,535 unless the file says
how many bits it uses: a 12-bit TIFF, a TIFF's MaxSampleValue, a PNG's sBIT. Samples outside 0 to
65,535 have no such form and are refused.
"""

import io
import struct
import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

Samples = NDArray[np.uint32]

WIDE_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
FULL_TOP = 65_535
# Tags of TIFF.
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE_VALUE, PLANAR, SAMPLE_FORMAT = 258, 262, 281, 284, 339
WHITE_IS_ZERO, SEPARATE_PLANES, SIGNED = 0, 2, (2,)
# A raw mode of Pillow that reads 16-bit samples names their byte order last: big, little, native.
NATIVE = "L" if sys.byteorder == "little" else "B"
OTHER_ORDER = {"B": "L", "L": "B", "N": {"L": "B", "B": "L"}[NATIVE]}


@dataclass(frozen=True, kw_only=True, eq=False)
class Deep:
    """Samples as they are stored, upright where Pillow turns them while it loads.

    Attributes:
        samples: (H, W, C) uint32, at most 65,535; without transparency.
        alpha: (H, W, 1) uint32, or none: opaque.
        is_premultiplied: The samples were multiplied with their alpha.
        is_cmyk: Four inks in place of grey or RGB.
    """

    samples: Samples
    alpha: Samples | None = None
    is_premultiplied: bool = False
    is_cmyk: bool = False


def read_deep(content: bytes, picture: Image.Image) -> Deep | None:
    """Load a picture; its samples where they have more than 8 bits, else none.

    Args:
        content: The file's bytes, which colours are read from twice.
        picture: The file, opened and not yet loaded.

    Raises:
        ValueError: The samples have no honest 8-bit form.
    """
    if is_separate(picture):
        raise ValueError("its 16-bit colours are stored plane by plane")
    raw_mode = find_deep_mode(picture)
    if raw_mode:
        return read_colours(content, picture, raw_mode)
    picture.load()
    if picture.mode in WIDE_MODES:
        return read_grey(picture)
    if is_signed(picture) and np.asarray(picture).max() > 127:
        raise ValueError("its pixels are signed, and some are below 0")
    return None


def find_deep_mode(picture: Image.Image) -> str:
    """Pillow's raw mode of 16-bit colours, or of grey with transparency; empty: something else."""
    if picture.format not in ("PNG", "TIFF"):
        return ""
    for tile in cast(Any, picture).tile:
        raw_mode = tile[3] if isinstance(tile[3], str) else tile[3][0]
        if ";16" in raw_mode and not raw_mode.startswith("I;"):
            return str(raw_mode)
    return ""


def read_colours(content: bytes, picture: Image.Image, raw_mode: str) -> Deep:
    """Both bytes of every sample: Pillow alone would leave the lower one out.

    Its readers take either byte of two, by the order that the raw mode names. So the file is read
    once as it is, for the upper bytes, and once as if its bytes were swapped, for the lower ones.
    """
    kind, order = raw_mode.split(";16")
    if kind == "LA":
        # No reader gives one byte of two here: four bytes a pixel are taken as they lie.
        four = read_tiles(picture, "RGBA").reshape(*picture.size[::-1], 2, 2)
        both = four[..., 0] * 256 + four[..., 1]
    else:
        stored = "RGBA" if kind == "RGBa" else kind
        upper = read_tiles(picture, f"{stored};16{order}")
        with Image.open(io.BytesIO(content), formats=(str(picture.format),)) as again:
            both = upper * 256 + read_tiles(again, f"{stored};16{OTHER_ORDER[order]}")
    if kind not in ("LA", "RGBA", "RGBa"):
        return Deep(samples=both, alpha=find_clear(picture, both), is_cmyk=kind == "CMYK")
    return Deep(samples=both[..., :-1], alpha=both[..., -1:], is_premultiplied=kind == "RGBa")


def read_tiles(picture: Image.Image, raw_mode: str) -> Samples:
    """(H, W, C) uint32: the picture's pixels, taken by this raw mode."""
    opened = cast(Any, picture)
    opened.tile = [replace_mode(tile, raw_mode) for tile in opened.tile]
    picture.load()
    return np.asarray(picture).astype(np.uint32)


def replace_mode(tile: Any, raw_mode: str) -> Any:
    """One of Pillow's tiles with another raw mode."""
    settings = raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:])
    # Pillow before 11 has plain tuples.
    return tile._replace(args=settings) if hasattr(tile, "_replace") else (*tile[:3], settings)


def read_grey(picture: Image.Image) -> Deep:
    """Grey samples of a loaded picture.

    Raises:
        ValueError: Some lie outside 0 to 65,535.
    """
    values = np.asarray(picture)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > FULL_TOP:
        raise ValueError(f"its pixels are {low:,} to {high:,}, and 0 to {FULL_TOP:,} can be read")
    samples = values.astype(np.uint32)[..., np.newaxis]
    return Deep(samples=samples, alpha=find_clear(picture, samples))


def find_clear(picture: Image.Image, samples: Samples) -> Samples | None:
    """Alpha of a picture whose one value or colour is named as clear, else none."""
    named = picture.info.get("transparency") if picture.format == "PNG" else None
    if named is None:
        return None
    is_clear = (samples == np.array(named).reshape(-1)).all(axis=-1, keepdims=True)
    alpha: Samples = np.where(is_clear, np.uint32(0), np.uint32(FULL_TOP))
    return alpha


def narrow(content: bytes, picture: Image.Image, deep: Deep) -> Image.Image:
    """The picture of 8 bits, in mode `L` or `RGB`, transparency laid on white."""
    top = find_top(content, picture, deep.samples)
    samples = deep.samples
    if picture.format == "TIFF" and tiff_tag(picture, PHOTOMETRIC, 0) == WHITE_IS_ZERO:
        samples = top - samples
    if deep.alpha is not None:
        alpha = deep.alpha if deep.alpha.max() > top else deep.alpha * FULL_TOP // top
        samples = lay_on_white(samples, alpha, top, is_premultiplied=deep.is_premultiplied)
    # No sample lies midway between two steps, since every top is odd: rounding has one answer.
    eight = ((samples * 510 + top) // (2 * top)).astype(np.uint8)
    if deep.is_cmyk:
        return Image.frombytes("CMYK", eight.shape[1::-1], eight.tobytes()).convert("RGB")
    return Image.fromarray(eight[..., 0] if eight.shape[-1] == 1 else eight)


def lay_on_white(samples: Samples, alpha: Samples, top: int, *, is_premultiplied: bool) -> Samples:
    """Samples over white; alpha is 0 to 65,535."""
    clear = FULL_TOP - alpha
    if is_premultiplied:
        added: Samples = samples + (clear * top + FULL_TOP // 2) // FULL_TOP
        return added.clip(max=top)
    return (samples * alpha + top * clear + FULL_TOP // 2) // FULL_TOP


def find_top(content: bytes, picture: Image.Image, samples: Samples) -> int:
    """The sample that stands for full brightness.

    Raises:
        ValueError: Samples lie above the largest one that the file announces.
    """
    if picture.format == "PNG":
        return find_png_top(read_significant_bits(content), samples)
    if picture.format != "TIFF":
        return FULL_TOP
    announced = max(as_numbers(tiff_tag(picture, MAX_SAMPLE_VALUE, 0)), default=0)
    bits = max(as_numbers(tiff_tag(picture, BITS_PER_SAMPLE, 16)), default=16)
    top = min((1 << bits) - 1, FULL_TOP)
    # Many writers put the largest value of this very picture here: only a number of bits is meant
    # for all pictures alike.
    if 0 < announced < top and (announced & (announced + 1)) == 0:
        top = announced
    if samples.max() > top:
        raise ValueError(f"its largest pixel is {samples.max():,}, its MaxSampleValue {top:,}")
    return top


def find_png_top(bits: int, samples: Samples) -> int:
    """As `find_top`, by the significant bits that a PNG announces; 0: none.

    The standard wants samples that are scaled up to 16 bits, and says so by sBIT; many writers
    store them as they are. Samples that are scaled lie on a grid, others do not.
    """
    top = (1 << bits) - 1
    if not 0 < bits < 16 or samples.max() > top:
        return FULL_TOP
    shift = 16 - bits
    scaled = np.rint(np.rint(samples * (top / FULL_TOP)) * (FULL_TOP / top))
    is_scaled = (np.abs(scaled - samples) <= (shift > 2)).all()
    is_shifted = (samples % (1 << shift) == 0).all()
    return FULL_TOP if is_scaled or is_shifted else top


def read_significant_bits(content: bytes) -> int:
    """The largest number in a PNG's chunk sBIT, which Pillow does not keep; 0: it has none."""
    at = 8
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind == b"sBIT":
            return max(content[at + 8 : at + 8 + min(length, 4)], default=0)
        if kind == b"IDAT":
            return 0
        at += 12 + length
    return 0


def is_separate(picture: Image.Image) -> bool:
    """Whether a TIFF's 16-bit colours lie in planes, of which Pillow reads half a plane."""
    bits = max(as_numbers(tiff_tag(picture, BITS_PER_SAMPLE, 8)), default=8)
    is_planar = tiff_tag(picture, PLANAR, 1) == SEPARATE_PLANES
    return is_planar and bits > 8 and picture.mode not in WIDE_MODES


def is_signed(picture: Image.Image) -> bool:
    """Whether a TIFF's samples are signed."""
    return as_numbers(tiff_tag(picture, SAMPLE_FORMAT, 1)) == SIGNED


def tiff_tag(picture: Image.Image, tag: int, default: int) -> Any:
    """A tag of a TIFF; the default where it has none, and for other formats."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return default
    return picture.tag_v2.get(tag, default)


def as_numbers(value: Any) -> tuple[int, ...]:
    """A tag's whole numbers, whether it holds one or several."""
    several = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in several if isinstance(number, int))
