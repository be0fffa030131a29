"""The settings of a run: every key that a config can set, with its meaning and its default.

Nothing here depends on a framework or on NumPy. `RunSpec` (run.py) adds the checks.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from poc.shared.errors import UsageError

from .data import DataSpec
from .methods.table import find_method
from .networks.layers.declaration import Shape
from .networks.lora import LoraSpec
from .networks.models import ModelSpec
from .open_settings import BY_RECIPE, OpenSetting
from .settings import Settings
from .teacher import TeacherSpec
from .training.averaging import AverageSpec
from .training.habits import HabitsSpec
from .training.losses import LossSpec
from .training.optimizers import OptimizerSpec
from .training.precision import Precision, storage_type
from .training.schedules import ScheduleSpec
from .training.stages import Stage
from .training.stopping import EarlyStoppingSpec

Backend = Literal["tf", "torch"]
BACKENDS: tuple[Backend, ...] = ("tf", "torch")


class RunSettings(Settings):
    """All settings that decide the numbers of a run.

    A run takes `input_shape` and `num_classes` from its data when it starts; commands without data
    get them as options.
    """

    backend: Backend = Field("torch", description="framework that trains")
    method: str = Field("lightlayers", description="name of the training method")
    method_options: Mapping[str, Any] = Field(
        default_factory=dict, description="options of the method"
    )
    model: ModelSpec | None = Field(None, description="architecture; none: the method's default")
    initial_weights: str | None = Field(
        None,
        description='weights to start from: a canonical safetensors file, or "imagenet"; none: '
        "random weights",
    )
    lora: LoraSpec = Field(
        default_factory=LoraSpec, description="low-rank terms that learn in place of frozen layers"
    )
    teacher: TeacherSpec | None = Field(
        None,
        description="network that the method learns from; none: one like the student, with random "
        "weights",
    )
    data: DataSpec = Field(default_factory=DataSpec, description="source, split, views, batches")
    num_epochs: int = Field(
        10, ge=1, description="passes over the training examples", json_schema_extra=BY_RECIPE
    )
    loss: LossSpec = Field(default_factory=LossSpec, description="training loss of the labels")
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec, description="update rule")
    schedule: ScheduleSpec = Field(default_factory=ScheduleSpec, description="learning rate")
    ema: AverageSpec = Field(
        default_factory=AverageSpec, description="average of the weights, judged in their place"
    )
    early_stopping: EarlyStoppingSpec = Field(
        default_factory=EarlyStoppingSpec,
        description="rules that end a run or reduce its learning rate",
    )
    norm_statistics: Literal["running", "exact"] = Field(
        "running",
        description="statistics of batch norms in evaluation; running: collected in training; "
        "exact: computed in a pass over the training part before each evaluation",
    )
    habits: HabitsSpec = Field(
        default_factory=HabitsSpec,
        description="rules that a run takes from its own framework; habits=native sets all of them",
    )
    batch_norm_sync: Literal["global", "local"] = Field(
        "global",
        description="statistics of batch norms in a run of several processes; global: of the "
        "batches of all, as one process has them; local: of each one's own part",
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="seed of initial weights, order of examples and noise"
    )
    precision: Precision = Field(
        "float32",
        description="number type of all arithmetic; with bfloat16 and float16 that of the layers "
        "only, the rest is float32",
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="processor that computes; auto: a GPU if there is one"
    )
    deterministic: bool = Field(
        True, description="give the same bits in every repetition on the same machine"
    )
    mode: Literal["default", "eager", "compiled"] = Field(
        "default",
        description="execution; default: a graph in tf, eager in torch; compiled: XLA in tf, "
        "torch.compile in torch",
    )
    layout: Literal["channels_last", "channels_first"] = Field(
        "channels_last",
        description="order of a map's axes in memory; channels_first: only in torch",
    )
    input_shape: Shape | None = Field(
        None,
        min_length=3,
        max_length=3,
        examples=[[224, 224, 3]],
        description="(height, width, channels) of an image, sizes in pixels; none: from the data",
    )
    num_classes: int | None = Field(
        None, ge=2, description="number of classes; none: from the data"
    )
    stage: str = Field(
        "",
        description="stage of the method's plan, set by the training loop; empty: the last one",
    )
    open_settings: tuple[OpenSetting, ...] = Field(
        (),
        description="settings that the recipe fills in when the data is opened, set by the program",
    )

    @model_serializer(mode="wrap")
    def _leave_out_common_habits(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, object]:
        """Write habits only if one is native, so that no other record changes."""
        values: dict[str, object] = serialize(self)
        if not self.habits.native:
            values.pop("habits", None)
        return values

    @property
    def model_spec(self) -> ModelSpec:
        """Return the model, which every checked run has.

        Raises:
            UsageError: The settings were not checked by `RunSpec` and name no model.
        """
        if self.model is None:
            raise UsageError(
                "Got no model. Expected a name of `poc models list`. Try --model lightnet_plain."
            )
        return self.model

    @property
    def network_habits(self) -> str:
        """Say which native habits the trained network has, or nothing if it has none."""
        return self.habits.of_network(self.backend)

    @property
    def dtype(self) -> str:
        """Return the type of weights, optimiser slots, losses and logits.

        Layers may compute in another type.
        """
        return storage_type(self.precision)

    @property
    def method_settings(self) -> Settings:
        """Return the method's options, validated, with defaults filled in."""
        options = find_method(self.method).options
        return options.parse(dict(self.method_options), "method_options")

    @property
    def asked_size(self) -> tuple[int, int] | None:
        """Return (height, width) by the settings or the method; None if the data decides."""
        side = find_method(self.method).image_side(self.method_settings)
        return self.data.image_size or ((side, side) if side else None)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the method's plan over the epochs; most methods have one stage."""
        return find_method(self.method).plan_stages(self.method_settings, self.num_epochs)
