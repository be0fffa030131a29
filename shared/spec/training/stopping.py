"""Settings that end a run early or reduce its learning rate, by a validation metric."""

from typing import Literal

from pydantic import Field

from poc.shared.spec.settings import Settings


class EarlyStoppingSpec(Settings):
    """Rules for a validation metric that does not improve."""

    patience: int | None = Field(
        None, ge=1, description="epochs without improvement before the run ends; none: never"
    )
    metric: Literal["val/loss", "val/accuracy"] = Field(
        "val/loss", description="metric that must improve"
    )
    reduce_patience: int | None = Field(
        None,
        ge=1,
        description="epochs without improvement before the learning rate drops; none: never",
    )
    min_validation_images: int = Field(
        100,
        ge=0,
        description="least number of validation images for choosing the best epoch; with fewer the "
        "last epoch counts",
    )
    reduce_factor: float = Field(
        0.1, gt=0, lt=1, description="factor on the learning rate when it drops"
    )
