"""When a run stops, when it reduces its rate, and on how many images it judges that."""

from typing import Literal

from pydantic import Field

from poc.shared.spec.settings import Settings


class EarlyStoppingSpec(Settings):
    """Stop when the validation metric has not improved."""

    patience: int | None = Field(None, ge=1, description="epochs without improvement; none: off")
    metric: Literal["val/loss", "val/accuracy"] = Field("val/loss", description="what is watched")
    reduce_patience: int | None = Field(
        None, ge=1, description="epochs without improvement before the rate is multiplied"
    )
    min_validation_images: int = Field(
        100,
        ge=0,
        description="on fewer no epoch is chosen, the last one counts; 0: any number will do",
    )
    reduce_factor: float = Field(0.1, gt=0, lt=1, description="that multiplier")
