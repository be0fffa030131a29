"""How an image becomes a model's input: one view for training, one for evaluation.

Every step is written once, in NumPy and Pillow, and both backends receive the same arrays. Names
and rules of the steps: `docs/data.md`.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .open_settings import BY_RECIPE
from .settings import Settings

ResizeRule = Literal["squash", "shorter_side", "height", "fit"]
Interval = tuple[float, float]
# Rules whose result has the wanted size without a crop.
WHOLE_RULES: tuple[ResizeRule, ...] = ("squash", "fit")


def check_crop(resize: ResizeRule, crop: str, where: str) -> None:
    """Refuse a rule that leaves images of different sizes.

    Raises:
        UsageError: The rule needs a crop and there is none.
    """
    if crop in ("none", "padded") and resize not in WHOLE_RULES:
        raise UsageError(
            f"received {where}.resize={resize!r} with {where}.crop={crop!r}, which leaves images "
            f"of different sizes; allowed is it with a crop: set {where}.crop=centre or "
            f"{where}.resize=squash"
        )


class TrainView(Settings):
    """What training sees; the steps run in the order in which they stand here.

    Only the shifted crop comes after flips, turns and colours, as in FixRes. Random numbers depend
    on (seed, epoch, example) alone.
    """

    resize: ResizeRule = Field(
        "squash",
        # The other rules leave images of different sizes unless there is a crop.
        examples=["fit"],
        description="squash: to the size, aspect ratio lost; shorter_side; height: the rule of "
        "FixRes; fit: whole image, padded",
    )
    crop: Literal["none", "centre", "random_resized", "shifted", "padded"] = Field(
        "none",
        description="random_resized: torchvision's rule, in place of resize; shifted: centre crop "
        "moved sideways (FixRes); padded: pad, then a random crop (CIFAR)",
        json_schema_extra=BY_RECIPE,
    )
    crop_share: float = Field(
        0.875, gt=0, le=1, description="centre, shifted: side of the crop over the resized side"
    )
    area: Interval = Field(
        (0.08, 1.0),
        description="random_resized: share of the image's area",
        json_schema_extra=BY_RECIPE,
    )
    aspect: Interval = Field((0.75, 4 / 3), description="random_resized: width over height")
    pad_pixels: int = Field(4, ge=1, description="padded: pixels added on each side")
    horizontal_flip: float = Field(
        0, ge=0, le=1, description="probability", json_schema_extra=BY_RECIPE
    )
    vertical_flip: float = Field(0, ge=0, le=1, description="probability")
    rotation_degrees: float = Field(0, ge=0, le=180, description="largest turn to either side")
    shift: float = Field(0, ge=0, lt=1, description="largest shift, as a share of each side")
    zoom: float = Field(0, ge=0, lt=1, description="largest change of scale: factor 1-z to 1+z")
    brightness: float = Field(0, ge=0, description="factor 1-b to 1+b, not below 0")
    contrast: float = Field(0, ge=0, description="factor 1-c to 1+c, not below 0")
    saturation: float = Field(0, ge=0, description="factor 1-s to 1+s, not below 0; RGB only")
    hue: float = Field(0, ge=0, le=0.5, description="largest turn of the colour circle; RGB only")
    erasing: float = Field(0, ge=0, le=1, description="probability that a box is erased")
    erasing_area: Interval = Field((0.02, 0.33), description="share of the image's area")
    erasing_aspect: Interval = Field((0.3, 10 / 3), description="height over width")
    mixup: float = Field(0, ge=0, description="alpha of mixup's beta distribution; 0: off")
    cutmix: float = Field(0, ge=0, description="alpha of cutmix's beta distribution; 0: off")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Intervals are ordered, and the sizes come out equal."""
        check_crop(self.resize, self.crop, "data.train_view")
        for key in ("area", "aspect", "erasing_area", "erasing_aspect"):
            low, high = getattr(self, key)
            limit = 1 if "area" in key else float("inf")
            if not 0 < low <= high <= limit:
                raise UsageError(
                    f"received data.train_view.{key}={[low, high]}; allowed are two numbers above "
                    f"0, the smaller first{' and none above 1' if limit == 1 else ''}: correct it"
                )
        return self

    @property
    def is_random(self) -> bool:
        """Whether anything about this view is drawn."""
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
        return self.crop in ("random_resized", "shifted", "padded") or any(shares)


class EvalView(Settings):
    """What evaluation sees: nothing random."""

    resize: ResizeRule = Field("squash", examples=["fit"], description="as in train_view")
    crop: Literal["none", "centre", "five", "ten"] = Field(
        "none", description="five: corners and centre; ten: the same five of the mirror image too"
    )
    crop_share: float = Field(
        0.875, gt=0, le=1, description="side of the crop over the resized side"
    )
    average: Literal["softmax", "logits"] = Field(
        "softmax", description="what is averaged over five or ten crops"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        """The sizes come out equal."""
        check_crop(self.resize, self.crop, "data.eval_view")
        return self
