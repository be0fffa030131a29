"""From an encoded image file to pixels: one rule for every format, mode and orientation.

EXIF rotation is applied, transparency is laid on white, palettes and CMYK become RGB, more than 8
bits become 8 by `depth`, and of an animation the first frame is taken. The look at every file
before a run and the run itself call the same function, so what the one accepts the other decodes.
"""

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

import PIL
from PIL import Image, UnidentifiedImageError

from poc.shared.files.regular_files import Stamp, read_regular

from .depth import narrow, read_deep

# In the key of everything that is kept of decoded pixels: another rule here, or another version of
# Pillow, makes other pixels of the same bytes.
DECODING = f"poc decoding 2, Pillow {PIL.__version__}"

GREY_MODES = {"1", "L", "LA", "La"}
ALPHA_MODES = {"LA", "RGBA", "RGBa", "PA"}
ORIENTATION = 0x0112
# What brings a picture upright, by its orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What is tried: no format whose reader starts another program (EPS) or reads other files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
# Larger images are refused: Pillow's own limit against decompression bombs.
MAX_PIXELS = 178_956_970


class Decoded(NamedTuple):
    """What a file's bytes become.

    Attributes:
        picture: Upright, of 8 bits, in mode `L` or `RGB`.
        span: Grey levels between the darkest and the brightest pixel, where the file has more than
            8 bits; else none.
    """

    picture: Image.Image
    span: int | None


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What one look at a file gives.

    Attributes:
        stamp: Of the file when it was read; empty: it could not be.
        digest: Sha256 of the file's bytes.
        height: Of the decoded picture.
        width: Of the decoded picture.
        is_grey: One channel.
        span: See `Decoded`.
        error: Why the file cannot be read; empty: it can.
    """

    stamp: Stamp = ()
    digest: str = ""
    height: int = 0
    width: int = 0
    is_grey: bool = False
    span: int | None = None
    error: str = ""


@cache
def known_formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def inspect_file(path: Path) -> FileFacts:
    """Read and decode a file as a run does, and keep what is to be known about it."""
    stamp: Stamp = ()
    try:
        content, stamp = read_regular(path)
        if not content:
            return FileFacts(stamp=stamp, error="is empty (0 bytes)")
        picture, span = decode(content)
    except Exception as error:  # Pillow's readers raise anything on damaged files.
        return FileFacts(stamp=stamp, error=describe_error(error, path))
    return FileFacts(
        stamp=stamp,
        digest=hashlib.sha256(content).hexdigest(),
        height=picture.height,
        width=picture.width,
        is_grey=picture.mode == "L",
        span=span,
    )


def decode_file(path: Path, channels: int) -> Image.Image:
    """One file as an upright picture of 8 bits in mode `L` (channels 1) or `RGB` (channels 3).

    Raises:
        Exception: Whatever Pillow raises on a damaged file.
    """
    return decode(read_regular(path)[0], channels).picture


def decode(content: bytes, channels: int | None = None) -> Decoded:
    """A file's bytes as a picture, in mode `L` (channels 1) or `RGB` (3); none: as it is.

    Raises:
        Exception: Whatever Pillow raises on a damaged file.
    """
    with Image.open(io.BytesIO(content), formats=known_formats()) as picture:
        check_picture(picture)
        deep = read_deep(content, picture)
        if picture.im.size != picture.size:
            raise ValueError(f"its size is announced as {picture.size} and is {picture.im.size}")
        flat = flatten(picture) if deep is None else narrow(content, picture, deep)
        is_grey = flat.mode == "L" if deep is not None else picture.mode in GREY_MODES
        # Now, since some formats announce it behind the pixels and TIFF's reader has applied it.
        upright = turn(flat, picture.getexif().get(ORIENTATION))
    span = None if deep is None else measure_span(upright)
    mode = "L" if channels == 1 or (channels is None and is_grey) else "RGB"
    return Decoded(upright if upright.mode == mode else upright.convert(mode), span)


def check_picture(picture: Image.Image) -> None:
    """Refuse what has no honest 8-bit form, and what would fill the memory."""
    if picture.mode == "F":
        raise ValueError("holds floating-point pixels")
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(f"has {picture.width} x {picture.height} pixels, above {MAX_PIXELS:,}")


def turn(picture: Image.Image, orientation: object) -> Image.Image:
    """Upright by transposing the pixels alone: nothing of the file's EXIF is written again."""
    method = TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if method is None else picture.transpose(method)


def flatten(picture: Image.Image) -> Image.Image:
    """A loaded picture of 8 bits without transparency, which is laid on white."""
    if picture.mode == "La":
        # Pillow has no direct way from there to RGB.
        picture = picture.convert("LA")
    if picture.mode not in ALPHA_MODES and "transparency" not in picture.info:
        return picture if picture.mode in ("L", "RGB") else picture.convert(plain_mode(picture))
    colours = picture.convert("RGBA")
    white = Image.new("RGBA", colours.size, "white")
    return Image.alpha_composite(white, colours).convert("RGB")


def plain_mode(picture: Image.Image) -> str:
    """`L` or `RGB`, whichever a picture without transparency becomes."""
    return "L" if picture.mode in GREY_MODES else "RGB"


def measure_span(picture: Image.Image) -> int:
    """Steps of 255 between the darkest and the brightest value of any channel."""
    extrema = picture.getextrema()
    pairs = extrema if isinstance(extrema[0], tuple) else (extrema,)
    low, high = zip(*cast(tuple[tuple[int, int], ...], pairs), strict=True)
    return int(max(high) - min(low))


def describe_error(error: Exception, path: Path) -> str:
    """One line, without the path that stands beside it."""
    if isinstance(error, UnidentifiedImageError):
        return "is no image that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    text = (str(error) or type(error).__name__).replace(str(path), "the file").splitlines()[0]
    return f"cannot be decoded ({text})"
