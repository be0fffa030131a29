"""Settings of the data: the source, its split, and how examples become batches.

Nothing here imports NumPy: the command line reads these settings.
"""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from poc.shared.errors import UsageError

from .columns import ColumnsSpec
from .settings import Settings
from .splits import SplitKind, SplitSpec
from .views import EvalView, TrainView

__all__ = ["DEFAULT_IMAGE_SIZE", "DataSpec", "EvalView", "SplitKind", "SplitSpec", "TrainView"]

Normalization = Literal["unit", "torch", "tf", "caffe", "none"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "plain_bilinear"]
PLAIN: Interpolation = "plain_bilinear"
OnError = Literal["fail", "skip"]
# Used, with a note, if the images differ in size and no size is set: small enough for a CPU.
DEFAULT_IMAGE_SIZE = (64, 64)

TYPED_SIZE = re.compile(r"(\d{1,9}) ?[x,] ?(\d{1,9})", re.ASCII)


class DataSpec(Settings):
    """The source, the split, the views and the batches of a run."""

    source: str = Field(
        "embedded",
        min_length=1,
        description="place of the images: embedded, folder:PATH or another form of `poc data list`",
    )
    on_error: OnError = Field(
        "fail",
        description="rule for unreadable files; fail: refuse the folder; skip: leave them out",
    )
    columns: ColumnsSpec = Field(
        default_factory=ColumnsSpec, description="columns of a CSV file of labels, by name"
    )
    class_pattern: str | None = Field(
        None,
        description="regular expression that finds the class in an example's id, with the rule of "
        "split.group_pattern; without a match the folder's name is the class",
    )
    split: SplitSpec = Field(default_factory=SplitSpec, description="train, val and test parts")
    image_size: tuple[int, int] | None = Field(
        None,
        examples=[[64, 64]],
        description="(height, width) of the model's input, in pixels; none: the images' own size",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1: grey; 3: RGB (grey is repeated); none: the images' own channels"
    )
    interpolation: Interpolation = Field(
        "bilinear",
        description="Pillow's filter for every resize, antialiased if it shrinks; plain_bilinear: "
        "TensorFlow's, which is not",
    )
    fill: int = Field(0, ge=0, le=255, description="grey level of padding; 0: black, 255: white")
    train_view: TrainView = Field(default_factory=TrainView, description="images for training")
    eval_view: EvalView = Field(default_factory=EvalView, description="images for evaluation")
    normalization: Normalization = Field(
        "unit",
        description="values of the model's input; unit: x/255; torch: ImageNet mean and deviation; "
        "tf: x/127.5-1; caffe: BGR minus mean; none: 0 to 255",
    )
    batch_size: int = Field(64, ge=1, description="examples per batch")
    sampling: Literal["uniform", "balanced"] = Field(
        "uniform",
        description="draws of an epoch from the train part; uniform: each image once; balanced: as "
        "many draws, with replacement, each class with the same chance",
    )
    shuffle: bool = Field(True, description="draw a new order of the train part in every epoch")
    drop_last: bool = Field(False, description="leave out the last train batch if it is partial")
    num_workers: int = Field(
        0,
        ge=0,
        description="processes that decode images; 0: the main one; data in memory needs none",
    )
    cache: Literal["auto", "memory", "disk", "off"] = Field(
        "auto",
        description="place for decoded images; auto: in memory if they fit, otherwise on disk if "
        "they had to be decoded",
    )
    cache_folder: str | None = Field(
        None, description="folder of the disk cache; none: `poc` in the user's cache folder"
    )

    @field_validator("image_size", mode="before")
    @classmethod
    def _read_image_size(cls, value: object) -> object:
        """Read `64x64` and `64,64`, as people type them, as the list [64, 64]."""
        typed = TYPED_SIZE.fullmatch(value) if isinstance(value, str) else None
        return [int(side) for side in typed.groups()] if typed else value

    @model_validator(mode="after")
    def _check_image_size(self) -> Self:
        """Refuse a size below 1 pixel, and one so large that it is a typing error."""
        if self.image_size is not None and not all(1 <= side <= 4096 for side in self.image_size):
            raise UsageError(
                f"Got data.image_size={list(self.image_size)}. Expected a height and a width of 1 "
                "to 4096 pixels. Try [224, 224]."
            )
        return self

    @model_validator(mode="after")
    def _check_class_pattern(self) -> Self:
        """Refuse a class pattern that is not a regular expression."""
        try:
            re.compile(self.class_pattern or "")
        except re.error as error:
            raise UsageError(
                f"Got data.class_pattern={self.class_pattern!r}, which is not a regular "
                f"expression ({error}). Expected one that finds the class in an example's id. Try "
                "correcting it, for example '(bacteria|virus)'."
            ) from None
        return self

    @property
    def has_random_views(self) -> bool:
        """Return whether an image can look different each time that training sees it."""
        return self.train_view.is_random
