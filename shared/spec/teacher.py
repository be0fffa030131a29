"""The frozen network, the teacher, that a distillation method learns from."""

from typing import Literal

from pydantic import Field

from .data import Normalization
from .networks.models import ModelSpec
from .settings import Settings

# Its weights travel beside the trained ones, under this prefix; a drawn one's numbers hang on it.
TEACHER_PREFIX = "source/"


class TeacherSpec(Settings):
    """Which network, with which weights; it sees the run's own images, in evaluation mode."""

    model: ModelSpec | None = Field(
        None, description="architecture; none: the run folder's, else the student's own"
    )
    weights: str | None = Field(
        None,
        description="run folder or canonical safetensors file; none: drawn, which training refuses",
    )
    num_classes: int | None = Field(
        None, ge=2, description="classes that it was trained on; none: those of the student"
    )
    class_order: tuple[int, ...] | None = Field(
        None,
        description="position of each of the run's classes among those of the teacher, where its "
        "logits are compared; none: found by their names, else the same order",
    )
    normalization: Normalization | None = Field(
        None, description="of the images that it was trained on; none: as data.normalization"
    )
    cache: bool | Literal["disk"] = Field(
        False,
        description="compute its outputs once an image, and keep them for every epoch; disk: for "
        "later runs too",
    )
