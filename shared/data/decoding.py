"""From an encoded image file to pixels: one rule for every format, mode and orientation.

EXIF rotation is applied, transparency is laid on white, palettes and CMYK become RGB, 16 bits
become 8 by rounding, and of an animation the first frame is taken.
"""

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
WIDE_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
ALPHA_MODES = {"LA", "La", "RGBA", "RGBa", "PA"}
# EXIF orientations that exchange height and width.
TURNED = {5, 6, 7, 8}
ORIENTATION = 0x0112
# What is tried: no format whose reader starts another program (EPS) or reads other files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
# Larger images are refused: Pillow's own limit against decompression bombs.
MAX_PIXELS = 178_956_970


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What one look at a file gives.

    Attributes:
        digest: Sha256 of the file's bytes.
        height: After EXIF rotation.
        width: After EXIF rotation.
        is_grey: One channel.
        error: Why the file cannot be read; empty: it can.
    """

    digest: str = ""
    height: int = 0
    width: int = 0
    is_grey: bool = False
    error: str = ""


@cache
def known_formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def inspect_file(path: Path) -> FileFacts:
    """Read and decode a file to its end, as cheaply as its damage can be found."""
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if not content:
            return FileFacts(digest=digest, error="is empty (0 bytes)")
        with Image.open(io.BytesIO(content), formats=known_formats()) as picture:
            check_picture(picture)
            width, height = picture.size
            is_grey = picture.mode in GREY_MODES
            is_turned = picture.getexif().get(ORIENTATION) in TURNED
            # JPEG alone: all bytes are read, but only an eighth of each side is computed.
            picture.draft(None, (max(width // 8, 1), max(height // 8, 1)))
            picture.load()
    except Exception as error:  # Pillow's readers raise anything on damaged files.
        return FileFacts(error=describe_error(error, path))
    if is_turned:
        height, width = width, height
    return FileFacts(digest=digest, height=height, width=width, is_grey=is_grey)


def check_picture(picture: Image.Image) -> None:
    """Refuse what has no honest 8-bit form, and what would fill the memory."""
    if picture.mode == "F":
        raise ValueError("holds floating-point pixels")
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(f"has {picture.width} x {picture.height} pixels, above {MAX_PIXELS:,}")


def describe_error(error: Exception, path: Path) -> str:
    """One line, without the path that stands beside it."""
    if isinstance(error, UnidentifiedImageError):
        return "is no image that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    text = (str(error) or type(error).__name__).replace(str(path), "the file").splitlines()[0]
    return f"cannot be decoded ({text})"


def decode_file(path: Path, channels: int) -> Image.Image:
    """One file as an upright picture of 8 bits in mode `L` (channels 1) or `RGB` (channels 3).

    Raises:
        Exception: Whatever Pillow raises on a damaged file.
    """
    with Image.open(path, formats=known_formats()) as picture:
        check_picture(picture)
        upright = to_mode(picture, channels)
        upright.load()
        return upright


def to_mode(picture: Image.Image, channels: int) -> Image.Image:
    """A picture of any mode, upright, in mode `L` or `RGB`; channels is 1 or 3."""
    upright = picture
    if picture.getexif().get(ORIENTATION, 1) != 1:
        upright = ImageOps.exif_transpose(picture)
    mode = "L" if channels == 1 else "RGB"
    flat = narrow(upright) if upright.mode in WIDE_MODES else flatten(upright)
    return flat if flat.mode == mode else flat.convert(mode)


def narrow(picture: Image.Image) -> Image.Image:
    """16 bits to 8: 65,535 becomes 255, the rest is rounded."""
    values = np.clip(np.asarray(picture).astype(np.int64), 0, 65_535)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def flatten(picture: Image.Image) -> Image.Image:
    """Transparency laid on white; everything else untouched."""
    if picture.mode not in ALPHA_MODES and "transparency" not in picture.info:
        return picture
    colours = picture.convert("RGBA")
    white = Image.new("RGBA", colours.size, "white")
    return Image.alpha_composite(white, colours).convert("RGB")
