"""Settings of the optimiser."""

from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.open_settings import BY_RECIPE
from poc.shared.spec.settings import Settings


class OptimizerSpec(Settings):
    """An optimiser, with PyTorch's published formulas in both backends."""

    name: Literal["sgd", "adam", "adamw"] = Field("adam", description="update rule")
    learning_rate: float = Field(
        1e-3,
        gt=0,
        description="learning rate that the schedule multiplies",
        json_schema_extra=BY_RECIPE,
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="sgd: share of the momentum buffer kept in each step"
    )
    nesterov: bool = Field(False, description="sgd: use the look-ahead form (Nesterov)")
    beta1: float = Field(0.9, ge=0, lt=1, description="adam, adamw: decay of the first moment")
    beta2: float = Field(0.999, ge=0, lt=1, description="adam, adamw: decay of the second moment")
    epsilon: float = Field(
        1e-8, gt=0, description="adam, adamw: constant added to the root of the second moment"
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="factor of the coupled L2 gradient on all trained parameters; adamw: decoupled "
        "decay (the layers' own stays coupled)",
    )
    decay_exempt: Literal["none", "norms_and_biases"] = Field(
        "none",
        description="parameters that weight_decay leaves out; norms_and_biases: gamma and beta of "
        "norms, and every bias",
    )
    frobenius_decay: float | None = Field(
        None,
        gt=0,
        examples=[1e-4],
        description="factor of the gradient of half the squared Frobenius norm of the product of "
        "low-rank factors, which weight_decay then leaves out; none: it decays each factor",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        examples=[1.0],
        description="largest global norm of an update's gradient, before any decay is added; none: "
        "no limit",
    )
    accumulation_steps: int = Field(
        1,
        ge=1,
        examples=[4],
        description="batches whose gradients make one update, as one batch of all their images "
        "would; warmup_steps counts updates",
    )

    @model_validator(mode="after")
    def _check_nesterov(self) -> Self:
        """Refuse Nesterov without momentum: there is nothing to look ahead with."""
        if self.nesterov and self.name == "sgd" and not self.momentum:
            raise UsageError(
                "Got optimizer.nesterov=true with optimizer.momentum=0.0. Expected a momentum "
                "above 0. Try optimizer.momentum=0.9, or remove nesterov."
            )
        return self
