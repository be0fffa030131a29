"""Recognition of photos: pictures in colour, whose mirror image and crops show the same thing.

X-rays, scans and digits are not meant: a heart on the other side, or a mirrored 7, has another
label. They are grey (also where they are stored as RGB), or small.
"""

import numpy as np

from poc.shared.data.sources.base import Indices, Pixels, Source

NUM_SAMPLED = 16
MIN_SIDE = 64
# Grey levels between a pixel's channels that no rounding of a JPEG makes of a grey one, and the
# share of such pixels: a cut-out has a white background, a grey scan may have a coloured mark.
MIN_SPREAD, MIN_SHARE = 24, 0.05


def are_photos(source: Source, indices: Indices) -> bool:
    """Say whether more than half of a few images at these positions (k,) are photos."""
    positions = np.linspace(0, len(indices) - 1, min(NUM_SAMPLED, len(indices))).astype(int)
    found = [is_photo(source.image(int(indices[position]))) for position in positions]
    return sum(found) > len(found) / 2


def is_photo(image: Pixels) -> bool:
    """Say whether an image (H, W, C) uint8 is large enough and has colour."""
    if image.shape[2] != 3 or min(image.shape[:2]) < MIN_SIDE:
        return False
    spread = image.max(axis=2) - image.min(axis=2)
    return float((spread >= MIN_SPREAD).mean()) >= MIN_SHARE
