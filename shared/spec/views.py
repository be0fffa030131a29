"""Settings of the two views, which turn an image into a model's input.

One view is for training, one for evaluation. Every step is written once, in NumPy and Pillow, and
both backends receive the same arrays. `docs/data.md` defines the steps.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .open_settings import BY_RECIPE
from .settings import Settings

ResizeRule = Literal["squash", "shorter_side", "height", "fit"]
Interval = tuple[float, float]
# RandAugment and TrivialAugment divide the range of each operation into 30 steps.
LARGEST_MAGNITUDE = 30
# Rules whose result has the requested size without a crop.
WHOLE_RULES: tuple[ResizeRule, ...] = ("squash", "fit")


def check_crop(resize: ResizeRule, crop: str, where: str) -> None:
    """Refuse a resize rule that leaves images of different sizes.

    Raises:
        UsageError: The rule needs a crop and there is none.
    """
    if crop in ("none", "padded") and resize not in WHOLE_RULES:
        raise UsageError(
            f"Got {where}.resize={resize!r} with {where}.crop={crop!r}, which leaves images "
            f"of different sizes. Expected a crop with this rule. Try {where}.crop=centre or "
            f"{where}.resize=squash."
        )


class TrainView(Settings):
    """The view for training; its steps run in the order of the fields.

    The shifted crop is the exception: it comes after flips, turns and colours, as in FixRes, and
    before the policy. Random
    numbers depend only on (seed, epoch, example).
    """

    resize: ResizeRule = Field(
        "squash",
        # The example must work without another setting; the other rules need a crop.
        examples=["fit"],
        description="resize rule; squash: to the size, without keeping the aspect ratio; "
        "shorter_side: by the shorter side; height: the rule of FixRes; fit: the full image, "
        "padded",
    )
    crop: Literal["none", "centre", "random_resized", "shifted", "padded"] = Field(
        "none",
        description="crop after the resize; random_resized: torchvision's rule, instead of resize; "
        "shifted: centre crop moved sideways (FixRes); padded: pad, then a random crop (CIFAR)",
        json_schema_extra=BY_RECIPE,
    )
    crop_share: float = Field(
        0.875,
        gt=0,
        le=1,
        description="centre, shifted: side of the crop as a share of the resized side",
    )
    area: Interval = Field(
        (0.08, 1.0),
        description="random_resized: least and largest area, as a share of the image's",
        json_schema_extra=BY_RECIPE,
    )
    aspect: Interval = Field(
        (0.75, 4 / 3), description="random_resized: least and largest ratio of width to height"
    )
    pad_pixels: int = Field(4, ge=1, description="padded: pixels added on each side")
    horizontal_flip: float = Field(
        0,
        ge=0,
        le=1,
        description="probability of a flip from left to right",
        json_schema_extra=BY_RECIPE,
    )
    vertical_flip: float = Field(
        0, ge=0, le=1, description="probability of a flip from top to bottom"
    )
    rotation_degrees: float = Field(
        0, ge=0, le=180, description="largest turn to either side, in degrees"
    )
    shift: float = Field(
        0, ge=0, lt=1, description="largest shift in either direction, as a share of the side"
    )
    zoom: float = Field(0, ge=0, lt=1, description="z of the random scale, from 1-z to 1+z")
    brightness: float = Field(
        0, ge=0, description="b of the random factor on brightness, from 1-b (not below 0) to 1+b"
    )
    contrast: float = Field(
        0, ge=0, description="c of the random factor on contrast, from 1-c (not below 0) to 1+c"
    )
    saturation: float = Field(
        0,
        ge=0,
        description="s of the random factor on saturation, from 1-s (not below 0) to 1+s; only RGB",
    )
    hue: float = Field(
        0,
        ge=0,
        le=0.5,
        description="largest turn of the hue to either side, 1 is the full circle; only RGB",
    )
    policy: Literal["none", "randaugment", "trivialaugment"] = Field(
        "none",
        description="operations drawn for each image, after all steps above; unsafe for X-rays; "
        "randaugment: some at one magnitude; trivialaugment: one at a drawn magnitude, wide ranges",
    )
    policy_operations: int = Field(
        2, ge=1, le=14, description="randaugment: operations for each image"
    )
    policy_magnitude: int = Field(
        9, ge=0, le=LARGEST_MAGNITUDE, description="randaugment: strength of operations, 0 to 30"
    )
    erasing: float = Field(0, ge=0, le=1, description="probability that a box is erased")
    erasing_area: Interval = Field(
        (0.02, 0.33), description="least and largest area of the box, as a share of the image's"
    )
    erasing_aspect: Interval = Field(
        (0.3, 10 / 3), description="least and largest ratio of the box's height to its width"
    )
    mixup: float = Field(0, ge=0, description="alpha of mixup's beta distribution; 0: off")
    cutmix: float = Field(0, ge=0, description="alpha of cutmix's beta distribution; 0: off")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse unordered intervals, and rules that leave images of different sizes."""
        check_crop(self.resize, self.crop, "data.train_view")
        for key in ("area", "aspect", "erasing_area", "erasing_aspect"):
            low, high = getattr(self, key)
            limit = 1 if "area" in key else float("inf")
            if not 0 < low <= high <= limit:
                raise UsageError(
                    f"Got data.train_view.{key}={[low, high]}. Expected two numbers above 0, the "
                    f"smaller first{' and none above 1' if limit == 1 else ''}. Try correcting it."
                )
        return self

    @property
    def is_random(self) -> bool:
        """Return whether any step of this view is random."""
        shares = (
            self.horizontal_flip,
            self.vertical_flip,
            self.rotation_degrees,
            self.shift,
            self.zoom,
            self.brightness,
            self.contrast,
            self.saturation,
            self.hue,
            self.erasing,
            self.mixup,
            self.cutmix,
        )
        is_cut = self.crop in ("random_resized", "shifted", "padded")
        return is_cut or self.policy != "none" or any(shares)


class EvalView(Settings):
    """The view for evaluation; no step is random."""

    resize: ResizeRule = Field(
        "squash", examples=["fit"], description="resize rule, as in train_view"
    )
    crop: Literal["none", "centre", "five", "ten"] = Field(
        "none",
        description="crops after the resize; five: the corners and the centre; ten: the five of "
        "the mirror image too",
    )
    crop_share: float = Field(
        0.875, gt=0, le=1, description="side of the crop as a share of the resized side"
    )
    average: Literal["softmax", "logits"] = Field(
        "softmax", description="values whose mean over five or ten crops is the prediction"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse rules that leave images of different sizes."""
        check_crop(self.resize, self.crop, "data.eval_view")
        return self
