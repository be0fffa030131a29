"""Changes of colour and of single areas: brightness, contrast, saturation, hue, erased boxes."""

import math

import numpy as np
from PIL import Image, ImageEnhance

from poc.shared.data.sources.base import Pixels
from poc.shared.spec.views import Interval, TrainView

from .geometry import Box

NUM_TRIES = 10


def jitter(picture: Image.Image, view: TrainView, generator: np.random.Generator) -> Image.Image:
    """Brightness, contrast, saturation and hue in a drawn order; each factor is uniform.

    Brightness blends with black, contrast with the mean grey, saturation with the grey image, as in
    Pillow's ImageEnhance.
    """
    steps = {
        ImageEnhance.Brightness: view.brightness,
        ImageEnhance.Contrast: view.contrast,
        ImageEnhance.Color: view.saturation if picture.mode == "RGB" else 0,
        turn_hue: view.hue if picture.mode == "RGB" else 0,
    }
    active = [step for step, amount in steps.items() if amount]
    for position in generator.permutation(len(active)):
        step = active[position]
        amount = steps[step]
        if step is turn_hue:
            picture = turn_hue(picture, generator.uniform(-amount, amount))
        else:
            factor = generator.uniform(max(1 - amount, 0), 1 + amount)
            picture = step(picture).enhance(factor)
    return picture


def turn_hue(picture: Image.Image, share: float) -> Image.Image:
    """Turn the colour circle by a share of a full turn."""
    hue, saturation, value = picture.convert("HSV").split()
    # Pillow divides the circle into 255 steps.
    turned = (np.asarray(hue).astype(np.int64) + round(share * 255)) % 255
    channels = (Image.fromarray(turned.astype(np.uint8)), saturation, value)
    return Image.merge("HSV", channels).convert("RGB")


def erasing_box(
    size: tuple[int, int], area: Interval, aspect: Interval, generator: np.random.Generator
) -> Box | None:
    """A box with a uniform share of the area and a log-uniform ratio (height over width).

    Up to ten tries, as published; none of them within the image: nothing is erased.
    """
    height, width = size
    for _ in range(NUM_TRIES):
        pixels = height * width * generator.uniform(*area)
        ratio = math.exp(generator.uniform(math.log(aspect[0]), math.log(aspect[1])))
        box_height, box_width = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < box_height < height and 0 < box_width < width:
            top = int(generator.integers(0, height - box_height + 1))
            left = int(generator.integers(0, width - box_width + 1))
            return Box(top, left, box_height, box_width)
    return None


def erase(pixels: Pixels, box: Box, fill: int) -> Pixels:
    """A copy (H, W, C) with one box set to a grey level."""
    erased = pixels.copy()
    erased[box.top : box.top + box.height, box.left : box.left + box.width] = fill
    return erased
