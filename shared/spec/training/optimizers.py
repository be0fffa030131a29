"""Which optimiser trains, and with what numbers."""

from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.open_settings import BY_RECIPE
from poc.shared.spec.settings import Settings


class OptimizerSpec(Settings):
    """Optimiser with PyTorch's published formulas in both backends."""

    name: Literal["sgd", "adam", "adamw"] = Field("adam", description="update rule")
    learning_rate: float = Field(
        1e-3, gt=0, description="rate before the schedule", json_schema_extra=BY_RECIPE
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="sgd: share of the buffer kept")
    nesterov: bool = Field(False, description="sgd: look-ahead form")
    beta1: float = Field(0.9, ge=0, lt=1, description="adam: decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="adam: decay of the second moment")
    epsilon: float = Field(1e-8, gt=0, description="adam: added outside the root")
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="coupled L2 on all that trains (adamw: decoupled, the layers' own not)",
    )

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        """The look-ahead needs something to look ahead with."""
        if self.nesterov and self.name == "sgd" and not self.momentum:
            raise UsageError(
                "received optimizer.nesterov=true with optimizer.momentum=0.0; allowed is it with "
                "a momentum above 0: set optimizer.momentum=0.9 or remove nesterov"
            )
        return self
