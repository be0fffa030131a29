"""Where the pixels come from: resize rules, crops, flips and small turns, as pure functions.

A picture goes in with a NumPy generator and a new picture comes out. Every resize is Pillow's,
which is antialiased (when it shrinks, its filter grows with the factor), but for `plain_bilinear`.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from poc.shared.data.sources.base import to_array, to_picture
from poc.shared.spec.data import PLAIN, Interpolation
from poc.shared.spec.views import Interval, ResizeRule

from .bilinear import resize_plainly

Size = tuple[int, int]
NUM_TRIES = 10

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Box(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def resized_size(size: Size, target: Size, rule: ResizeRule) -> Size:
    """(height, width) that an image of `size` has after a resize rule; sides are truncated.

    Args:
        size: (height, width) of the image.
        target: (height, width) that the rule aims at.
        rule: `squash`: the target. `shorter_side`: the aspect ratio is kept and the target just
            covered, so that the shorter side gets the side of a square target. `height`: the
            height is the target's, whatever the width (FixRes). `fit`: the image lies within the
            target.
    """
    (height, width), (target_height, target_width) = size, target
    if rule == "squash":
        return target
    by_height = (target_height, max(target_height * width // height, 1))
    by_width = (max(target_width * height // width, 1), target_width)
    is_tall = height * target_width >= width * target_height
    if rule == "height":
        return by_height
    if rule == "fit":
        return by_height if is_tall else by_width
    return by_width if is_tall else by_height


def scaled(size: Size, share: float) -> Size:
    """The size before a crop that keeps `share` of each side: 224 and 7/8 give 256; truncated."""
    return (int(size[0] / share), int(size[1] / share))


def resize_picture(picture: Image.Image, size: Size, interpolation: Interpolation) -> Image.Image:
    """A picture at (height, width)."""
    height, width = size
    if picture.size == (width, height):
        return picture
    if interpolation == PLAIN:
        return to_picture(resize_plainly(to_array(picture), size))
    return picture.resize((width, height), FILTERS[interpolation])


def crop_box(picture: Image.Image, box: Box, fill: int = 0) -> Image.Image:
    """A part of a picture; what lies outside of it is `fill`."""
    width, height = picture.size
    right, bottom = box.left + box.width, box.top + box.height
    part = picture.crop((box.left, box.top, right, bottom))
    if fill and (min(box.left, box.top) < 0 or right > width or bottom > height):
        canvas = Image.new(picture.mode, (box.width, box.height), grey(picture.mode, fill))
        canvas.paste(picture, (-box.left, -box.top))
        return canvas
    return part


def grey(mode: str, level: int) -> int | tuple[int, ...]:
    """A grey level as Pillow wants it."""
    return level if mode == "L" else (level, level, level)


def centre_box(size: Size, crop: Size) -> Box:
    """The box in the middle; offsets are rounded half to even, as torchvision does."""
    (height, width), (crop_height, crop_width) = size, crop
    top, left = round((height - crop_height) / 2), round((width - crop_width) / 2)
    return Box(top, left, crop_height, crop_width)


def shifted_box(size: Size, crop: Size, generator: np.random.Generator) -> Box:
    """Draw the box of FixRes: the centre box, moved sideways by up to the full margin.

    The shift is U{0..j} to either side with equal chance, j being the centre box's left margin, so
    that no shift has probability 1/(j+1) and every other one 1/(2(j+1)).
    """
    centre = centre_box(size, crop)
    if centre.left <= 0:
        return centre
    shift = int(generator.integers(0, centre.left + 1))
    sign = 1 if generator.random() < 0.5 else -1
    left = min(centre.left + sign * shift, size[1] - crop[1])
    return centre._replace(left=max(left, 0))


def padded_box(crop: Size, pad_pixels: int, generator: np.random.Generator) -> Box:
    """A random box of an image that was padded on all sides; in the coordinates of the image."""
    top, left = generator.integers(0, 2 * pad_pixels + 1, 2) - pad_pixels
    return Box(int(top), int(left), *crop)


def random_resized_box(
    size: Size, area: Interval, aspect: Interval, generator: np.random.Generator
) -> Box:
    """Torchvision's published rule of RandomResizedCrop.

    Up to ten tries of an area share U(area) and an aspect ratio (width over height) that is
    uniform in its logarithm; the first box that lies within the image is placed uniformly. If none
    does: the central box at the nearest allowed ratio.
    """
    height, width = size
    for _ in range(NUM_TRIES):
        pixels = height * width * generator.uniform(*area)
        ratio = math.exp(generator.uniform(math.log(aspect[0]), math.log(aspect[1])))
        box_width, box_height = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(generator.integers(0, height - box_height + 1))
            left = int(generator.integers(0, width - box_width + 1))
            return Box(top, left, box_height, box_width)
    box_height, box_width = size
    if width / height < aspect[0]:
        box_height = min(round(width / aspect[0]), height)
    elif width / height > aspect[1]:
        box_width = min(round(height * aspect[1]), width)
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def five_boxes(size: Size, crop: Size) -> list[Box]:
    """Top left, top right, bottom left, bottom right, centre."""
    (height, width), (crop_height, crop_width) = size, crop
    bottom, right = height - crop_height, width - crop_width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    return [*(Box(top, left, *crop) for top, left in corners), centre_box(size, crop)]


def turn(
    picture: Image.Image,
    *,
    degrees: float = 0,
    shift: tuple[float, float] = (0, 0),
    scale: float = 1,
    fill: int = 0,
) -> Image.Image:
    """Rotate about the centre, scale and shift in one bilinear look-up (not antialiased).

    Args:
        picture: Any size.
        degrees: Counter-clockwise.
        shift: Right and down, in pixels.
        scale: Above 1: things get larger.
        fill: Grey level of what comes from outside.
    """
    width, height = picture.size
    middle_x, middle_y = width / 2, height / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Pillow wants the way back: output position -> input position.
    a, b, d, e = cosine / scale, -sine / scale, sine / scale, cosine / scale
    x, y = middle_x + shift[0], middle_y + shift[1]
    matrix = (a, b, middle_x - a * x - b * y, d, e, middle_y - d * x - e * y)
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=grey(picture.mode, fill),
    )
