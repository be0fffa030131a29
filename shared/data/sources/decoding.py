"""The way from an encoded image file to pixels: one rule for every format, mode and orientation.

EXIF rotation is applied, transparency is laid on white, palettes and CMYK become RGB, more than 8
bits become 8 by `depth`, and of an animation the first frame is used. A run and the inspection of
all files before it call the same function, so the run decodes every accepted file.
"""

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, cast

import PIL
from PIL import Image, UnidentifiedImageError

from poc.shared.files.regular_files import Stamp, UnfitFile, read_regular

from .depth import WIDE_MODES, Deep, narrow, read_deep, read_grey
from .dicom import describe_reader, is_dicom, read_dicom

# A part of the key of every cache of decoded pixels: another rule here, or another version of
# Pillow or pydicom, makes other pixels of the same bytes.
DECODING = f"poc decoding 3, Pillow {PIL.__version__}, {describe_reader()}"

GREY_MODES = {"1", "L", "LA", "La"}
ALPHA_MODES = {"LA", "RGBA", "RGBa", "PA"}
# The tag of EXIF. Its value 1 means upright, so it has no entry below.
ORIENTATION = 0x0112
# The transposition that makes a picture upright, by its orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The formats that are tried: none whose reader starts another program (EPS) or reads other files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
# Larger images are refused: Pillow's own limit against decompression bombs.
MAX_PIXELS = 178_956_970


class Decoded(NamedTuple):
    """A decoded file.

    Attributes:
        picture: Upright, of 8 bits, in mode `L` or `RGB`.
        span: Grey levels between the darkest and the brightest pixel, if the file has more than
            8 bits; otherwise None.
    """

    picture: Image.Image
    span: int | None


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Facts that one inspection of a file finds.

    Attributes:
        stamp: Stamp of the file when it was read; empty if it could not be opened.
        digest: Sha256 of the file's bytes.
        height: Height of the decoded picture, in pixels.
        width: Width of the decoded picture, in pixels.
        is_grey: True for one channel.
        span: See `Decoded`.
        error: Reason why the file cannot be read; empty if it can.
    """

    stamp: Stamp = ()
    digest: str = ""
    height: int = 0
    width: int = 0
    is_grey: bool = False
    span: int | None = None
    error: str = ""


class EmptyFile(UnfitFile):
    """A file without a byte."""


@cache
def known_formats() -> tuple[str, ...]:
    """Return those of `FORMATS` that this build of Pillow can read."""
    # AVIF and JPEG 2000 depend on how Pillow was built; an unknown name would raise a KeyError.
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def inspect_file(path: Path) -> FileFacts:
    """Read and decode a file as a run does, and return the facts about it."""
    stamp: Stamp = ()
    try:
        content, stamp = read_regular(path)
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
    """Decode a file to an upright 8-bit picture in mode `L` (channels 1) or `RGB` (channels 3).

    Raises:
        Exception: Any error that Pillow raises on a damaged file.
    """
    return decode(read_regular(path)[0], channels).picture


def decode(content: bytes, channels: int | None = None) -> Decoded:
    """Decode a file's bytes to a picture in mode `L` (channels 1) or `RGB` (channels 3).

    Args:
        content: The file's bytes.
        channels: 1 or 3; None keeps grey pictures grey and gives `RGB` for others.

    Raises:
        Exception: Any error that Pillow or pydicom raises on a damaged file.
    """
    if not content:
        raise EmptyFile
    if is_dicom(content):
        return settle_dicom(read_dicom(content, MAX_PIXELS), channels)
    with Image.open(io.BytesIO(content), formats=known_formats()) as picture:
        check_picture(picture)
        deep = read_deep(content, picture)
        if picture.im.size != picture.size:
            raise UnfitFile(f"its size is announced as {picture.size} and is {picture.im.size}")
        return settle(content, picture, deep, channels)


def decode_picture(picture: Image.Image, channels: int) -> Image.Image:
    """Decode a picture in memory by the rules of a file, as far as Pillow has kept its bits.

    Pillow reads colours of 16 bits with 8; `decode_file` reads all of them.

    Args:
        picture: Of any mode; it is not changed.
        channels: 1 or 3.

    Raises:
        UnfitFile: Its pixels cannot be reduced to 8 bits without a guess.
        OSError: It was opened from a file whose pixels cannot be read.
    """
    check_picture(picture)
    picture.load()
    deep = read_grey(picture) if picture.mode in WIDE_MODES else None
    return settle(b"", picture, deep, channels).picture


def settle_dicom(picture: Image.Image, channels: int | None) -> Decoded:
    """Return a picture of 8 bits in the mode that `channels` asks for, with the span of a grey one.

    Without a window in the header, most of the range of a CT's values is empty.
    """
    decoded = settle(b"", picture, None, channels)
    return decoded._replace(span=measure_span(picture) if picture.mode == "L" else None)


def settle(
    content: bytes, picture: Image.Image, deep: Deep | None, channels: int | None
) -> Decoded:
    """Make a loaded picture upright, opaque, and of 8 bits, in the mode that `channels` asks for.

    Args:
        content: The bytes of its file; empty if they are not known.
        picture: The loaded picture.
        deep: Its samples, if they have more than 8 bits.
        channels: As `decode`.
    """
    flat = flatten(picture) if deep is None else narrow(content, picture, deep)
    is_grey = flat.mode == "L" if deep is not None else picture.mode in GREY_MODES
    # The orientation is read only now: some formats store it after the pixels, and TIFF's
    # reader applies it while it loads.
    upright = turn(flat, read_orientation(picture))
    span = None if deep is None else measure_span(upright)
    mode = "L" if channels == 1 or (channels is None and is_grey) else "RGB"
    return Decoded(upright if upright.mode == mode else upright.convert(mode), span)


def check_picture(picture: Image.Image) -> None:
    """Refuse floating-point pictures, those without a pixel, and those that fill the memory."""
    # Floating-point pixels have no known range, so reducing them to 8 bits would be a guess.
    if picture.mode == "F":
        raise UnfitFile("holds floating-point pixels")
    if picture.width * picture.height == 0:
        raise UnfitFile(f"has {picture.width} x {picture.height} pixels")
    if picture.width * picture.height > MAX_PIXELS:
        raise UnfitFile(f"has {picture.width} x {picture.height} pixels, above {MAX_PIXELS:,}")


def read_orientation(picture: Image.Image) -> object:
    """Return the orientation in a loaded picture's EXIF block; None if it cannot be parsed."""
    try:
        return picture.getexif().get(ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # Pillow's parser raises anything on a damaged block; the pixels are intact.
        return None


def turn(picture: Image.Image, orientation: object) -> Image.Image:
    """Make a picture upright by transposing its pixels."""
    # Pillow's `exif_transpose` would also write the file's other EXIF data again.
    method = TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if method is None else picture.transpose(method)


def flatten(picture: Image.Image) -> Image.Image:
    """Lay the transparency of a loaded 8-bit picture on white; return mode `L` or `RGB`."""
    if picture.mode == "La":
        # Pillow has no direct conversion from this mode to RGB.
        picture = picture.convert("LA")
    if picture.mode not in ALPHA_MODES and "transparency" not in picture.info:
        return picture if picture.mode in ("L", "RGB") else picture.convert(plain_mode(picture))
    colours = picture.convert("RGBA")
    white = Image.new("RGBA", colours.size, "white")
    return Image.alpha_composite(white, colours).convert("RGB")


def plain_mode(picture: Image.Image) -> str:
    """Return `L` or `RGB`, the mode for a picture without transparency."""
    return "L" if picture.mode in GREY_MODES else "RGB"


def measure_span(picture: Image.Image) -> int:
    """Return the grey levels, 0 to 255, between the darkest and the brightest value."""
    extrema = picture.getextrema()
    pairs = extrema if isinstance(extrema[0], tuple) else (extrema,)
    low, high = zip(*cast(tuple[tuple[int, int], ...], pairs), strict=True)
    return int(max(high) - min(low))


def describe_error(error: Exception, path: Path) -> str:
    """Describe an error in one line without the path, which the caller prints next to it."""
    if isinstance(error, EmptyFile):
        return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "is no image that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        return f"cannot be decoded (it announces more than {MAX_PIXELS:,} pixels)"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    if isinstance(error, MemoryError):
        return "cannot be decoded (there is too little memory)"
    # Other kinds speak of the reader's own code, as in "invalid literal for int()".
    if not isinstance(error, UnfitFile | OSError | SyntaxError) or not str(error):
        return "cannot be decoded (it is damaged, or of a kind that its reader does not know)"
    text = str(error).replace(str(path), "the file").splitlines()[0]
    return f"cannot be decoded ({text})"
