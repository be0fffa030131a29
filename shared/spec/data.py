"""What a run trains on: the source, its split, and how examples become batches.

Nothing here imports NumPy: the command line reads these settings.
"""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from poc.shared.errors import UsageError

from .settings import Settings
from .splits import SplitKind, SplitSpec
from .views import EvalView, TrainView

__all__ = ["DEFAULT_IMAGE_SIZE", "DataSpec", "EvalView", "SplitKind", "SplitSpec", "TrainView"]

Normalization = Literal["unit", "torch", "tf", "caffe", "none"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
OnError = Literal["fail", "skip"]
# Taken, with a note, where the images differ in size and none is set: small enough for a CPU.
DEFAULT_IMAGE_SIZE = (64, 64)

TYPED_SIZE = re.compile(r"(\d{1,9}) ?[x,] ?(\d{1,9})", re.ASCII)


class DataSpec(Settings):
    """Source, split, views and batches of a run."""

    source: str = Field(
        "embedded",
        min_length=1,
        description="embedded, folder:PATH, idx:PATH, npz:PATH or tfds:NAME[:CONFIG]",
    )
    on_error: OnError = Field(
        "fail", description="files that cannot be read: refuse the folder, or leave them out"
    )
    class_pattern: str | None = Field(
        None,
        description="regular expression that finds a class in an example's id, read as "
        "split.group_pattern is; where it is not found, the folder is the class",
    )
    split: SplitSpec = Field(default_factory=SplitSpec, description="train, val and test parts")
    image_size: tuple[int, int] | None = Field(
        None,
        examples=[[64, 64]],
        description="(height, width) in pixels of the model's input; none: as they are",
    )
    channels: Literal[1, 3] | None = Field(
        None, description="1: grey, 3: RGB (grey is repeated); none: as they are"
    )
    interpolation: Interpolation = Field(
        "bilinear", description="Pillow's filter for every resize; antialiased when it shrinks"
    )
    fill: int = Field(0, ge=0, le=255, description="grey level of padding; 255: white")
    train_view: TrainView = Field(default_factory=TrainView, description="what training sees")
    eval_view: EvalView = Field(default_factory=EvalView, description="what evaluation sees")
    normalization: Normalization = Field(
        "unit",
        description="unit: x/255; torch: ImageNet mean and deviation; tf: x/127.5-1; "
        "caffe: BGR minus mean; none: 0 to 255",
    )
    batch_size: int = Field(64, ge=1, description="examples a batch")
    shuffle: bool = Field(True, description="new order of the train part in every epoch")
    drop_last: bool = Field(False, description="leave out the last, partial train batch")
    num_workers: int = Field(
        0, ge=0, description="processes that decode; 0: this one; data held in memory needs none"
    )
    cache: Literal["auto", "memory", "disk", "off"] = Field(
        "auto",
        description="where decoded images are kept; auto: in memory where they fit, else on disk "
        "where they were decoded",
    )
    cache_folder: str | None = Field(
        None, description="folder of the disk cache; none: poc in the user's cache folder"
    )

    @field_validator("image_size", mode="before")
    @classmethod
    def _read_image_size(cls, value: object) -> object:
        """`64x64` and `64,64`, as people type them, are the list [64, 64]."""
        typed = TYPED_SIZE.fullmatch(value) if isinstance(value, str) else None
        return [int(side) for side in typed.groups()] if typed else value

    @model_validator(mode="after")
    def _check_image_size(self) -> Self:
        """Sizes are positive and small enough to be meant."""
        if self.image_size is not None and not all(1 <= side <= 4096 for side in self.image_size):
            raise UsageError(
                f"received data.image_size={list(self.image_size)}; allowed are a height and a "
                "width of 1 to 4096 pixels: write for example [224, 224]"
            )
        return self

    @model_validator(mode="after")
    def _check_class_pattern(self) -> Self:
        """A class pattern is a regular expression."""
        try:
            re.compile(self.class_pattern or "")
        except re.error as error:
            raise UsageError(
                f"received data.class_pattern={self.class_pattern!r}, which is no regular "
                f"expression ({error}); allowed is one that finds a class in an example's id: "
                "correct it"
            ) from None
        return self

    @property
    def has_random_views(self) -> bool:
        """Whether an image looks different each time that training sees it."""
        return self.train_view.is_random
