"""The frozen source network (the teacher) that a transfer method learns from."""

from typing import Literal

from pydantic import Field

from .data import Normalization
from .models import ModelSpec
from .settings import Settings

# Its weights travel beside the trained ones, under this prefix.
SOURCE_PREFIX = "source/"


class SourceSpec(Settings):
    """Which network, with which weights; it sees the run's own images, in evaluation mode."""

    model: ModelSpec | None = Field(
        None, description="architecture; none: the run folder's, else the target's own"
    )
    weights: str | None = Field(
        None,
        description="run folder or canonical safetensors file; none: drawn, which training refuses",
    )
    num_classes: int | None = Field(
        None, ge=2, description="classes that it was trained on; none: those of the target"
    )
    normalization: Normalization | None = Field(
        None, description="of the images that it was trained on; none: as data.normalization"
    )
    cache: bool | Literal["disk"] = Field(
        False,
        description="compute its outputs once an image, and keep them for every epoch; disk: for "
        "later runs too",
    )
