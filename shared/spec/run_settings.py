"""The settings of a run: every key that a config can set, with its meaning and its default.

Nothing here depends on a framework or on NumPy. `RunSpec` (run.py) adds the checks.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from poc.shared.errors import UsageError

from .data import DataSpec
from .methods.table import find_method
from .networks.layers import Shape
from .networks.models import ModelSpec
from .open_settings import BY_RECIPE, OpenSetting
from .settings import Settings
from .teacher import TeacherSpec
from .training.optimizers import OptimizerSpec
from .training.precision import Precision, storage_type
from .training.schedules import ScheduleSpec
from .training.stages import Stage
from .training.stopping import EarlyStoppingSpec

Backend = Literal["tf", "torch"]
BACKENDS: tuple[Backend, ...] = ("tf", "torch")


class RunSettings(Settings):
    """Everything that decides the numbers of a run.

    `input_shape` and `num_classes` are read off the data when a run starts; commands without data
    give them by hand.
    """

    backend: Backend = Field("torch", description="framework that trains")
    method: str = Field("lightlayers", description="a row of the table of methods")
    method_options: Mapping[str, Any] = Field(default_factory=dict, description="of the method")
    model: ModelSpec | None = Field(None, description="architecture; none: the method's default")
    initial_weights: str | None = Field(
        None, description='canonical safetensors file to start from, or "imagenet"; none: drawn'
    )
    teacher: TeacherSpec | None = Field(
        None, description="network that the method learns from; none: drawn like the student"
    )
    data: DataSpec = Field(default_factory=DataSpec, description="source, split, batches")
    num_epochs: int = Field(
        10, ge=1, description="passes over the training examples", json_schema_extra=BY_RECIPE
    )
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec, description="update rule")
    schedule: ScheduleSpec = Field(default_factory=ScheduleSpec, description="learning rate")
    early_stopping: EarlyStoppingSpec = Field(
        default_factory=EarlyStoppingSpec, description="when to stop or to reduce the rate"
    )
    norm_statistics: Literal["running", "exact"] = Field(
        "running",
        description='of batch norms in evaluation; "exact": one pass over the training part before '
        "each evaluation",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="initial weights, order and noise")
    precision: Precision = Field(
        "float32",
        description="of all arithmetic; bfloat16, float16: of layers alone, the rest is float32",
    )
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description='"auto": GPU where present')
    deterministic: bool = Field(True, description="bit-equal repeats on the same machine")
    mode: Literal["default", "eager", "compiled"] = Field(
        "default", description="tf: graph by default, compiled = XLA; torch: eager by default"
    )
    layout: Literal["channels_last", "channels_first"] = Field(
        "channels_last", description="of maps in memory; channels_first: torch alone"
    )
    input_shape: Shape | None = Field(
        None,
        min_length=3,
        max_length=3,
        examples=[[224, 224, 3]],
        description="(height, width, channels)",
    )
    num_classes: int | None = Field(None, ge=2, description="number of classes")
    stage: str = Field(
        "", description="set by the training loop: stage of the method's plan; empty: the last"
    )
    open_settings: tuple[OpenSetting, ...] = Field(
        (), description="set by the program: what the recipe fills in when the data is opened"
    )

    @property
    def model_spec(self) -> ModelSpec:
        """The model, never none."""
        if self.model is None:
            raise UsageError("received no model; allowed is a row of `poc models list`: name one")
        return self.model

    @property
    def dtype(self) -> str:
        """Type of weights, optimiser slots, losses and logits; layers may compute in another."""
        return storage_type(self.precision)

    @property
    def method_settings(self) -> Settings:
        """The method's options, validated, defaults filled in."""
        options = find_method(self.method).options
        return options.parse(dict(self.method_options), "method_options")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The method's plan over the epochs; one stage for most."""
        return find_method(self.method).plan_stages(self.method_settings, self.num_epochs)
