"""The frozen source network (the teacher) that a transfer method learns from."""

from pydantic import Field

from .layers import Shape
from .models import ModelSpec
from .network import Network
from .settings import Settings

# Its weights travel beside the trained ones, under this prefix.
SOURCE_PREFIX = "source/"


class SourceSpec(Settings):
    """Which network, with which weights; it sees the run's own images, in evaluation mode."""

    model: ModelSpec | None = Field(None, description="architecture; none: the target's own")
    weights: str | None = Field(
        None, description="canonical safetensors file; none: drawn, for tests only"
    )
    num_classes: int | None = Field(
        None, ge=2, description="classes that it was trained on; none: those of the target"
    )

    def declare(self, input_shape: Shape, num_classes: int) -> Network:
        """The declared source for images of `input_shape` (H, W, C); its own classes win."""
        if self.model is None:
            raise ValueError("Received a source without a model; the run spec fills one in.")
        return self.model.declare(input_shape, self.num_classes or num_classes)
