"""Settings of the teacher: the frozen network that a distillation method learns from."""

from typing import Literal

from pydantic import Field

from .data import Normalization
from .networks.models import ModelSpec
from .settings import Settings

# Prefix of the teacher's weights among those of a run. Random weights are drawn by name, so another
# prefix would change the numbers of a drawn teacher.
TEACHER_PREFIX = "source/"


class TeacherSpec(Settings):
    """The teacher's network and weights; it sees the run's images in evaluation mode."""

    model: ModelSpec | None = Field(
        None,
        description="architecture; none: that of the run folder in weights, or else the student's",
    )
    weights: str | None = Field(
        None,
        description="run folder or canonical safetensors file; none: random weights, which "
        "training refuses",
    )
    num_classes: int | None = Field(
        None, ge=2, description="number of classes that it knows; none: as many as the student"
    )
    class_order: tuple[int, ...] | None = Field(
        None,
        description="position of each of the run's classes among the teacher's, if logits are "
        "compared; none: found by name, or else the same order",
    )
    normalization: Normalization | None = Field(
        None, description="normalization of its images; none: that of data.normalization"
    )
    cache: bool | Literal["disk"] = Field(
        False,
        description="compute its outputs once per image and keep them for all epochs; disk: keep "
        "them for later runs too",
    )
