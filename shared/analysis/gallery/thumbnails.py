"""Small copies of images as data URIs, which a page holds in itself."""

import base64
import io
from typing import NamedTuple

from PIL import Image

# Pixels of the longer side; a phone shows two of them side by side.
SIDE = 112
# Pictures up to this side keep their pixels, and the page enlarges them: JPEG would blur what
# little they show.
SMALL_SIDE = 40
QUALITY = 72


class Thumbnail(NamedTuple):
    """A data URI, and the pixels of the copy."""

    uri: str
    width: int
    height: int

    @property
    def is_small(self) -> bool:
        """Return whether the page has to enlarge it."""
        return max(self.width, self.height) <= SMALL_SIDE


def make_thumbnail(picture: Image.Image) -> Thumbnail:
    """Return a copy that fits into a square: PNG if the picture is small, otherwise JPEG.

    Args:
        picture: Of mode `L` or `RGB`; it is not changed.
    """
    buffer = io.BytesIO()
    is_small = max(picture.size) <= SMALL_SIDE
    copy = picture.copy()
    if is_small:
        copy.save(buffer, format="PNG", optimize=True)
    else:
        copy.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        copy.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    kind = "png" if is_small else "jpeg"
    content = base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(f"data:image/{kind};base64,{content}", *copy.size)
