"""Pictures of more than 8 bits per sample: read with all bits, and reduced to 8 by one rule.

A sample v of a range 0 to top becomes 255 v / top, rounded. The top is 65,535 unless the file says
how many bits it uses: a 12-bit TIFF, a TIFF's MaxSampleValue, a PNG's sBIT. Samples outside 0 to
65,535 cannot be mapped by this rule and are refused.
"""

import io
import struct
import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from poc.shared.files.regular_files import UnfitFile

Samples = NDArray[np.uint32]

WIDE_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
FULL_TOP = 65_535
# Tags of TIFF, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf.
BITS_PER_SAMPLE, PHOTOMETRIC, MAX_SAMPLE_VALUE, PLANAR, SAMPLE_FORMAT = 258, 262, 281, 284, 339
WHITE_IS_ZERO, SEPARATE_PLANES, SIGNED = 0, 2, (2,)
# A raw mode of Pillow that reads 16-bit samples names their byte order last: big, little, native.
NATIVE = "L" if sys.byteorder == "little" else "B"
OTHER_ORDER = {"B": "L", "L": "B", "N": {"L": "B", "B": "L"}[NATIVE]}


@dataclass(frozen=True, kw_only=True, eq=False)
class Deep:
    """Samples with the stored values, upright if Pillow turns them while it loads.

    Attributes:
        samples: (H, W, C) uint32, at most 65,535; without transparency.
        alpha: (H, W, 1) uint32; None if the picture is opaque.
        is_premultiplied: True if the samples were multiplied with their alpha.
        is_cmyk: True for four inks instead of grey or RGB.
    """

    samples: Samples
    alpha: Samples | None = None
    is_premultiplied: bool = False
    is_cmyk: bool = False


def read_deep(content: bytes, picture: Image.Image) -> Deep | None:
    """Load a picture, and return its samples if they have more than 8 bits, or else None.

    Args:
        content: The file's bytes, from which colours are read twice.
        picture: The file, opened and not yet loaded.

    Raises:
        UnfitFile: The samples cannot be reduced to 8 bits without a guess.
    """
    if is_separate(picture):
        raise UnfitFile("its 16-bit colours are stored plane by plane")
    raw_mode = find_deep_mode(picture)
    if raw_mode:
        return read_colours(content, picture, raw_mode)
    picture.load()
    if picture.mode in WIDE_MODES:
        return read_grey(picture)
    if is_signed(picture) and np.asarray(picture).max() > 127:
        raise UnfitFile("its pixels are signed, and some are below 0")
    return None


def find_deep_mode(picture: Image.Image) -> str:
    """Return Pillow's raw mode of 16-bit colours or of 16-bit grey with transparency, or ""."""
    if picture.format not in ("PNG", "TIFF"):
        return ""
    for tile in cast(Any, picture).tile:
        raw_mode = tile[3] if isinstance(tile[3], str) else tile[3][0]
        # Pillow loads the grey modes `I;16…` with all their bits; they need no second reading.
        if ";16" in raw_mode and not raw_mode.startswith("I;"):
            return str(raw_mode)
    return ""


def read_colours(content: bytes, picture: Image.Image, raw_mode: str) -> Deep:
    """Read both bytes of every sample: Pillow alone would drop the lower one.

    Pillow's readers take one byte of two, by the order that the raw mode names. The file is
    therefore read twice: with its own order, for the upper bytes, and with the other order, for the
    lower ones.
    """
    kind, order = raw_mode.split(";16")
    if kind == "LA":
        # No reader gives one byte of two here: the four bytes per pixel are read as four channels.
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
    """Load the picture's pixels by this raw mode: (H, W, C) uint32."""
    opened = cast(Any, picture)
    opened.tile = [replace_mode(tile, raw_mode) for tile in opened.tile]
    picture.load()
    return np.asarray(picture).astype(np.uint32)


def replace_mode(tile: Any, raw_mode: str) -> Any:
    """Return one of Pillow's tiles with another raw mode."""
    settings = raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:])
    # Pillow before 11 has plain tuples.
    return tile._replace(args=settings) if hasattr(tile, "_replace") else (*tile[:3], settings)


def read_grey(picture: Image.Image) -> Deep:
    """Return the grey samples of a loaded picture.

    Raises:
        UnfitFile: Some samples are outside 0 to 65,535.
    """
    values = np.asarray(picture)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > FULL_TOP:
        raise UnfitFile(f"its pixels are {low:,} to {high:,}, and 0 to {FULL_TOP:,} can be read")
    samples = values.astype(np.uint32)[..., np.newaxis]
    return Deep(samples=samples, alpha=find_clear(picture, samples))


def find_clear(picture: Image.Image, samples: Samples) -> Samples | None:
    """Return the alpha of a picture that names one value or colour as clear, or None.

    Args:
        picture: A PNG may name such a colour.
        samples: (H, W, C) uint32.

    Returns:
        (H, W, 1) uint32, 0 or 65,535.
    """
    named = picture.info.get("transparency") if picture.format == "PNG" else None
    if named is None:
        return None
    is_clear = (samples == np.array(named).reshape(-1)).all(axis=-1, keepdims=True)
    alpha: Samples = np.where(is_clear, np.uint32(0), np.uint32(FULL_TOP))
    return alpha


def narrow(content: bytes, picture: Image.Image, deep: Deep) -> Image.Image:
    """Reduce a picture to 8 bits, in mode `L` or `RGB`, with transparency laid on white."""
    top = find_top(content, picture, deep.samples)
    samples = deep.samples
    # Pillow inverts such a negative only if it has 8 bits.
    if picture.format == "TIFF" and tiff_tag(picture, PHOTOMETRIC, 0) == WHITE_IS_ZERO:
        samples = top - samples
    if deep.alpha is not None:
        # Alpha of a 12-bit picture may use 12 bits, as its colours do, or all 16.
        alpha = deep.alpha if deep.alpha.max() > top else deep.alpha * FULL_TOP // top
        samples = lay_on_white(samples, alpha, top, is_premultiplied=deep.is_premultiplied)
    # No sample is midway between two steps, since every top is odd: rounding has one answer.
    eight = ((samples * 510 + top) // (2 * top)).astype(np.uint8)
    if deep.is_cmyk:
        return Image.frombytes("CMYK", eight.shape[1::-1], eight.tobytes()).convert("RGB")
    return Image.fromarray(eight[..., 0] if eight.shape[-1] == 1 else eight)


def lay_on_white(samples: Samples, alpha: Samples, top: int, *, is_premultiplied: bool) -> Samples:
    """Lay samples (H, W, C) uint32 on white, by alpha (H, W, 1) uint32 from 0 to 65,535."""
    # Integers, with half of the divisor added to round: the result is the same on every machine.
    clear = FULL_TOP - alpha
    if is_premultiplied:
        added: Samples = samples + (clear * top + FULL_TOP // 2) // FULL_TOP
        # A malformed file may hold colours above their alpha.
        return added.clip(max=top)
    return (samples * alpha + top * clear + FULL_TOP // 2) // FULL_TOP


def find_top(content: bytes, picture: Image.Image, samples: Samples) -> int:
    """Return the sample of full brightness, for samples (H, W, C) uint32.

    Raises:
        UnfitFile: Samples are above the largest one that the file announces.
    """
    if picture.format == "PNG":
        return find_png_top(read_significant_bits(content), samples)
    if picture.format != "TIFF":
        return FULL_TOP
    announced = max(as_numbers(tiff_tag(picture, MAX_SAMPLE_VALUE, 0)), default=0)
    bits = max(as_numbers(tiff_tag(picture, BITS_PER_SAMPLE, 16)), default=16)
    top = min((1 << bits) - 1, FULL_TOP)
    # Many writers put the largest value of this one picture here. Only a value of the form 2^n - 1
    # is a number of bits, which applies to all pictures of a set alike.
    if 0 < announced < top and (announced & (announced + 1)) == 0:
        top = announced
    if samples.max() > top:
        raise UnfitFile(f"its largest pixel is {samples.max():,}, its MaxSampleValue {top:,}")
    return top


def find_png_top(bits: int, samples: Samples) -> int:
    """Find the top of a PNG's samples (H, W, C) uint32 by its significant bits; 0 if not announced.

    The standard wants samples scaled up to 16 bits and their original depth in sBIT
    (https://www.w3.org/TR/png-3/#11sBIT); many writers store them unscaled. Scaled samples are on a
    grid, others are not.
    """
    top = (1 << bits) - 1
    if not 0 < bits < 16 or samples.max() > top:
        return FULL_TOP
    shift = 16 - bits
    scaled = np.rint(np.rint(samples * (top / FULL_TOP)) * (FULL_TOP / top))
    # One step of tolerance, since writers round differently. Next to a grid of every second or
    # fourth sample (a shift of 1 or 2 bits) a step is too much: nearly every sample would pass.
    is_scaled = (np.abs(scaled - samples) <= (shift > 2)).all()
    is_shifted = (samples % (1 << shift) == 0).all()
    return FULL_TOP if is_scaled or is_shifted else top


def read_significant_bits(content: bytes) -> int:
    """Return the largest number in a PNG's chunk sBIT, which Pillow drops; 0 without one."""
    # Chunks follow the 8 bytes of the signature: length, kind, data, 4 bytes of checksum.
    at = 8
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind == b"sBIT":
            return max(content[at + 8 : at + 8 + min(length, 4)], default=0)
        # By the standard, sBIT precedes the pixels.
        if kind == b"IDAT":
            return 0
        at += 12 + length
    return 0


def is_separate(picture: Image.Image) -> bool:
    """Return True if a TIFF's 16-bit colours are in planes, of which Pillow reads half a plane."""
    bits = max(as_numbers(tiff_tag(picture, BITS_PER_SAMPLE, 8)), default=8)
    is_planar = tiff_tag(picture, PLANAR, 1) == SEPARATE_PLANES
    return is_planar and bits > 8 and picture.mode not in WIDE_MODES


def is_signed(picture: Image.Image) -> bool:
    """Return True if a TIFF's samples are signed."""
    return as_numbers(tiff_tag(picture, SAMPLE_FORMAT, 1)) == SIGNED


def tiff_tag(picture: Image.Image, tag: int, default: int) -> Any:
    """Return a tag of a TIFF; the default if it has no such tag, and for other formats."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile):
        return default
    return picture.tag_v2.get(tag, default)


def as_numbers(value: Any) -> tuple[int, ...]:
    """Return a tag's integers as a tuple, for tags of one value or several."""
    several = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in several if isinstance(number, int))
