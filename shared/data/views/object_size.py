"""Apparent size of objects: how much larger the test shows them than training did (FixRes).

Training crops a part of the image, side share s, and resizes it to K_train; the test resizes the
full image by a rule and crops without a resize. An object then has
r_test / r_train = s * (scale of the test's resize) * sqrt(HW) / K_train. The ideal takes the
law of the area and a square image resized to int(K_test / crop_share) (arXiv 1906.06423,
section 3).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.spec.views import Interval, ResizeRule

from .geometry import Size, random_resized_box, resized_size, scaled

# Areas of the publication's training crops.
AREA: Interval = (0.08, 1.0)
ASPECT: Interval = (3 / 4, 4 / 3)
NUM_DRAWS = 20_000
# Every net of the table halves its maps five times.
GRID_STRIDE = 32
# Height and width of the shapes that photos mostly have.
SHAPES: tuple[Size, ...] = ((480, 640), (400, 600), (500, 500), (640, 480))


class ApparentSize(NamedTuple):
    """Of one image shape: mean share of the side that training crops, and mean size ratio."""

    height: int
    width: int
    crop_share: float
    ratio: float


def ideal_crop_share(area: Interval = AREA) -> float:
    """Mean of s where s^2 is uniform: (2/3) (b^1.5 - a^1.5) / (b - a)."""
    low, high = area
    return math.sqrt(low) if low == high else 2 / 3 * (high**1.5 - low**1.5) / (high - low)


def ideal_ratio(
    train_size: int, test_size: int, *, crop_share: float = 0.875, area: Interval = AREA
) -> float:
    """Mean r_test / r_train by the law alone: E[s] * int(test / crop_share) / train."""
    return ideal_crop_share(area) * scaled((test_size, test_size), crop_share)[0] / train_size


def measure_size(
    size: Size,
    train_size: int,
    test_size: int,
    *,
    crop_share: float = 0.875,
    rule: ResizeRule = "shorter_side",
    area: Interval = AREA,
) -> ApparentSize:
    """The same with the boxes that are really drawn, for an image of (height, width)."""
    generator = np.random.default_rng(0)
    boxes = [random_resized_box(size, area, ASPECT, generator) for _ in range(NUM_DRAWS)]
    sides = np.sqrt([box.height * box.width for box in boxes])
    pixels = size[0] * size[1]
    target = scaled((test_size, test_size), crop_share)
    height, width = resized_size(size, target, rule)
    test_scale = math.sqrt(height * width / pixels)
    return ApparentSize(
        *size,
        float(sides.mean()) / math.sqrt(pixels),
        float(sides.mean()) * test_scale / train_size,
    )


def final_grid(size: int) -> int:
    """Side of the last map: input / 32, rounded up."""
    return math.ceil(size / GRID_STRIDE)


def matching_train_size(
    test_size: int, *, crop_share: float = 0.875, area: Interval = AREA
) -> float:
    """The training size at which objects look as large as in the test, not rounded."""
    return ideal_ratio(1, test_size, crop_share=crop_share, area=area)


def matching_test_size(train_size: int, *, crop_share: float = 0.875, area: Interval = AREA) -> int:
    """The smallest test crop at which objects look at least as large as in training."""
    # Two pixels below where the ratio would be 1 without rounding.
    size = max(1, math.floor(train_size * crop_share / ideal_crop_share(area)) - 2)
    while ideal_ratio(train_size, size, crop_share=crop_share, area=area) < 1:
        size += 1
    return size


def apparent_sizes(
    train_size: int,
    test_size: int,
    shapes: Sequence[Size] = SHAPES,
    *,
    crop_share: float = 0.875,
    rule: ResizeRule = "shorter_side",
    area: Interval = AREA,
) -> dict[str, object]:
    """Ideal and measured ratios of some image shapes.

    Raises:
        UsageError: A size below 1, a share outside 0 to 1, or such an area.
    """
    check_area(area)
    if min(train_size, test_size) < 1 or not 0 < crop_share <= 1:
        raise UsageError(
            f"Got train={train_size}, test={test_size} and crop_share={crop_share}. Expected "
            "sizes of at least 1 pixel and a share above 0, at most 1. Try correcting them."
        )
    return {
        "train_size": train_size,
        "test_size": test_size,
        "resized": scaled((test_size, test_size), crop_share)[0],
        "crop_share": crop_share,
        "rule": rule,
        "area": area,
        "ideal_crop_share": ideal_crop_share(area),
        "ideal_ratio": ideal_ratio(train_size, test_size, crop_share=crop_share, area=area),
        "matching_test_size": matching_test_size(train_size, crop_share=crop_share, area=area),
        "train_grid": final_grid(train_size),
        "test_grid": final_grid(test_size),
        "measured": [
            measure_size(
                size, train_size, test_size, crop_share=crop_share, rule=rule, area=area
            )._asdict()
            for size in shapes
        ],
    }


def check_area(area: Interval) -> None:
    """Refuse areas that no crop has.

    Raises:
        UsageError: They are not in order, or outside 0 to 1.
    """
    low, high = area
    if not 0 < low <= high <= 1:
        raise UsageError(
            f"Got area={low:g} to {high:g}. Expected shares of the image's area, the least above 0 "
            "and first, the largest at most 1. Try 0.08 1."
        )
