"""RandAugment and TrivialAugment: strong changes of a training image, drawn from fixed ranges.

RandAugment (Cubuk et al. 2019, arXiv 1909.13719) takes some operations one after the other, all at
one magnitude. TrivialAugment in its wide form (Müller and Hutter 2021, arXiv 2103.10158) takes one,
at a drawn magnitude. Both draw from the same fourteen operations, which are Pillow's own.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from poc.shared.spec.views import LARGEST_MAGNITUDE, TrainView

from .geometry import grey

# Picture, amount, grey level of what comes from outside -> picture of the same size.
Change = Callable[[Image.Image, float, int], Image.Image]
Matrix = tuple[float, float, float, float, float, float]
NUM_BITS, LARGEST_LEVEL = 8, 255


def keep(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Change nothing."""
    return picture


def shear_x(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Move each row to the left by `amount` times its distance from the top."""
    return look_up(picture, (1, amount, 0, 0, 1, 0), fill)


def shear_y(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Move each column up by `amount` times its distance from the left."""
    return look_up(picture, (1, 0, 0, amount, 1, 0), fill)


def translate_x(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Move to the right by `amount` pixels, truncated."""
    return look_up(picture, (1, 0, -int(amount), 0, 1, 0), fill)


def translate_y(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Move down by `amount` pixels, truncated."""
    return look_up(picture, (1, 0, 0, 0, 1, -int(amount)), fill)


def look_up(picture: Image.Image, matrix: Matrix, fill: int) -> Image.Image:
    """Take every pixel from the nearest one to where the matrix (output -> input) points."""
    level, nearest = grey(picture.mode, fill), Image.Resampling.NEAREST
    affine = Image.Transform.AFFINE
    return picture.transform(picture.size, affine, matrix, nearest, fillcolor=level)


def rotate(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Turn counter-clockwise about the centre by `amount` degrees; the nearest pixel is taken."""
    level = grey(picture.mode, fill)
    return picture.rotate(amount, Image.Resampling.NEAREST, fillcolor=level)


def brighten(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Blend with black; the picture's own share is 1 + `amount`."""
    return ImageEnhance.Brightness(picture).enhance(1 + amount)


def saturate(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Blend with the grey picture likewise; a grey picture does not change."""
    return ImageEnhance.Color(picture).enhance(1 + amount)


def contrast(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Blend with the mean grey likewise."""
    return ImageEnhance.Contrast(picture).enhance(1 + amount)


def sharpen(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Blend with the smoothed picture likewise."""
    return ImageEnhance.Sharpness(picture).enhance(1 + amount)


def posterize(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Set the lowest `amount` bits of every value to 0, rounded to a whole number of bits."""
    return ImageOps.posterize(picture, NUM_BITS - round(amount))


def solarize(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Invert the brightest values: those of 255 - `amount` and above."""
    return ImageOps.solarize(picture, math.ceil(LARGEST_LEVEL - amount))


def stretch(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Stretch each channel to the full range of values."""
    return ImageOps.autocontrast(picture)


def equalize(picture: Image.Image, amount: float, fill: int) -> Image.Image:
    """Spread each channel's values so that all are as frequent."""
    return ImageOps.equalize(picture)


@dataclass(frozen=True)
class Operation:
    """An operation and its range.

    Attributes:
        change: Changes a picture by an amount.
        largest: The amounts at the largest magnitude: of RandAugment, and of TrivialAugment. At
            magnitude 0 the amount is 0, and it rises in equal steps.
        is_signed: Half of the draws take the amount with a minus.
        side: Of a translation: the side (0: width, 1: height) that RandAugment's amount is a share
            of; None for another operation.
    """

    change: Change
    largest: tuple[float, float] = (0, 0)
    is_signed: bool = False
    side: int | None = None

    def amount(self, policy: str, magnitude: int, size: tuple[int, int]) -> float:
        """Return the amount, without its sign, for a picture of (width, height) `size`."""
        largest = self.largest[0 if policy == "randaugment" else 1]
        if self.side is not None and policy == "randaugment":
            largest *= size[self.side]
        # Multiplied first, so that amounts which are whole numbers come out as such.
        return largest * magnitude / LARGEST_MAGNITUDE


# By the names of torchvision's documentation, in its order. RandAugment moved its images of 331
# pixels by up to 150, so by this share of the side.
OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        "Identity": Operation(keep),
        "ShearX": Operation(shear_x, (0.3, 0.99), is_signed=True),
        "ShearY": Operation(shear_y, (0.3, 0.99), is_signed=True),
        "TranslateX": Operation(translate_x, (150 / 331, 32), is_signed=True, side=0),
        "TranslateY": Operation(translate_y, (150 / 331, 32), is_signed=True, side=1),
        "Rotate": Operation(rotate, (30, 135), is_signed=True),
        "Brightness": Operation(brighten, (0.9, 0.99), is_signed=True),
        "Color": Operation(saturate, (0.9, 0.99), is_signed=True),
        "Contrast": Operation(contrast, (0.9, 0.99), is_signed=True),
        "Sharpness": Operation(sharpen, (0.9, 0.99), is_signed=True),
        "Posterize": Operation(posterize, (4, 6)),
        "Solarize": Operation(solarize, (LARGEST_LEVEL, LARGEST_LEVEL)),
        "AutoContrast": Operation(stretch),
        "Equalize": Operation(equalize),
    }
)


def apply_policy(
    picture: Image.Image, view: TrainView, generator: np.random.Generator, fill: int
) -> Image.Image:
    """Apply the operations that a view's policy draws.

    Args:
        picture: `L` or `RGB`.
        view: Names the policy, which is not `none`, with its numbers.
        generator: Draws operations, signs, and TrivialAugment's magnitude.
        fill: Grey level of what comes from outside.
    """
    is_rand = view.policy == "randaugment"
    for _ in range(view.policy_operations if is_rand else 1):
        operation = list(OPERATIONS.values())[int(generator.integers(len(OPERATIONS)))]
        magnitude = view.policy_magnitude
        if not is_rand:
            magnitude = int(generator.integers(LARGEST_MAGNITUDE + 1))
        amount = operation.amount(view.policy, magnitude, picture.size)
        if operation.is_signed and generator.random() < 0.5:
            amount = -amount
        picture = operation.change(picture, amount, fill)
    return picture
