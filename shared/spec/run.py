"""The run spec: one frozen, validated description of a training run.

It is read from TOML and `--set`, travels to the worker as JSON, and is stored in the run folder.
Nothing in it depends on a framework or on NumPy.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .data import DataSpec
from .methods.table import METHODS, Method, find_method, tell_default
from .networks.layers import Parameter, Shape
from .networks.models import ModelSpec
from .networks.network import Network
from .open_settings import BY_RECIPE, OpenSetting
from .optimizers import OptimizerSpec
from .precision import EXACT, Precision, storage_type
from .schedules import ScheduleSpec
from .settings import Settings
from .stages import Stage, plan_stages
from .stopping import EarlyStoppingSpec
from .teacher import TeacherSpec

Backend = Literal["tf", "torch"]
BACKENDS: tuple[Backend, ...] = ("tf", "torch")


class RunSpec(Settings):
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

    @model_validator(mode="before")
    @classmethod
    def _fill_model(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Put the method's default model where none is named."""
        if not isinstance(values, dict):
            return values
        method = values.get("method", "lightlayers")
        model = values.get("model")
        if isinstance(method, str) and (
            model is None or (isinstance(model, dict) and "name" not in model)
        ):
            default = {"name": find_method(method).default_model}
            values = {**values, "model": {**default, **(model or {})}}
        return fill_teacher(fill_defaults(values))

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        """Refuse a model that the method cannot train, and wrong options of either."""
        method = find_method(self.method)
        method.options.parse(dict(self.method_options), "method_options")
        self._check_model()
        self._check_side(method)
        if self.teacher is not None and self.teacher.model is not None:
            self.teacher.model.resolved()
        if self.teacher is not None and method.distillation is None:
            learners = [name for name, row in METHODS.items() if row.distillation is not None]
            raise UsageError(
                f"received a teacher for method {self.method!r}, which learns from labels alone; "
                f"allowed is one with {', '.join(learners)}: choose one of them or remove it"
            )
        if method.optimizers and (
            self.optimizer.name not in method.optimizers or self.optimizer.nesterov
        ):
            raise UsageError(
                f"received the optimizer {self.optimizer.name!r} for method {self.method!r}, whose "
                "gradient passes through its own update; allowed is "
                f"{', '.join(method.optimizers)} without nesterov: set optimizer.name"
            )
        self._check_program(method)
        if method.models and self.model_spec.name not in method.models:
            raise UsageError(
                f"received model {self.model_spec.name!r} for {self._describe_method()}; allowed "
                f"are {', '.join(method.models)}: {self._suggest_method()}"
            )
        return self

    def _check_model(self) -> None:
        """Refuse wrong options of the model; says so where it may be one that nobody has named."""
        try:
            self.model_spec.resolved()
        except UsageError as error:
            told = tell_default(self.method, self.model_spec.name)
            raise UsageError(f"{error}{told}") from None

    def _describe_method(self) -> str:
        """The method, and that nobody has named it where that is so."""
        default = "" if "method" in self.model_fields_set else ", the default"
        return f"method {self.method!r}{default}"

    def _suggest_method(self) -> str:
        """What to type where the method cannot train the model."""
        if self.initial_weights is None:
            return "choose one of them or --method scratch"
        return "add --method transfer for a new head on these weights, or --method scratch"

    def _check_program(self, method: Method) -> None:
        """Refuse a layout, a precision or a mode that the backend or the method cannot have."""
        if self.backend == "tf" and self.layout != "channels_last":
            raise UsageError(
                f"received the layout {self.layout!r} for the backend 'tf', whose kernels on the "
                "CPU know channels_last alone; allowed is it for torch: remove layout"
            )
        if method.is_second_order and self.precision not in EXACT:
            raise UsageError(
                f"received the precision {self.precision!r} for method {self.method!r}, whose "
                f"hyper-gradients it would drown; allowed are {', '.join(EXACT)}: set precision"
            )
        if method.is_second_order and (self.backend, self.mode) == ("torch", "compiled"):
            raise UsageError(
                f"received the mode 'compiled' for method {self.method!r} in torch, whose compiler "
                "refuses second derivatives; allowed are default and eager: remove mode"
            )

    def _check_side(self, method: Method) -> None:
        """A method that names the size of the images is not contradicted by the data."""
        side = method.fine_tuning.image_side(self.method_settings) if method.fine_tuning else None
        size = self.data.image_size
        if side is not None and not self.stage and size not in (None, (side, side)):
            raise UsageError(
                f"received data.image_size={list(size)} with test_size={side} of method "
                f"{self.method!r}; allowed is one of them: leave data.image_size out"
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
    def network(self) -> Network:
        """The declared network for this run's images.

        Raises:
            UsageError: The images' shape or the number of classes is not known yet.
        """
        if self.input_shape is None or self.num_classes is None:
            raise UsageError(
                "received a run without input_shape and num_classes; open its data first or set "
                "both"
            )
        return self.model_spec.declare(self.input_shape, self.num_classes)

    @property
    def method_settings(self) -> Settings:
        """The method's options, validated, defaults filled in."""
        options = find_method(self.method).options
        return options.parse(dict(self.method_options), "method_options")

    @property
    def teacher_network(self) -> Network | None:
        """The declared teacher, for this run's images; none where the method has no teacher."""
        if self.teacher is None or self.input_shape is None or self.num_classes is None:
            return None
        model = self.teacher.model or self.model_spec
        return model.declare(self.input_shape, self.teacher.num_classes or self.num_classes)

    @property
    def trained_network(self) -> Network:
        """The network with all that this stage trains beside it; the same logits.

        Raises:
            UsageError: Teacher and student do not fit the method; names both sides.
        """
        method, teacher = find_method(self.method), self.teacher_network
        distillation, stage = method.distillation, self.stage or self.stages[-1].name
        if method.fine_tuning is not None:
            return method.fine_tuning.extend(self.method_settings, self.network, stage)
        if distillation is None or teacher is None:
            return self.network
        return distillation.extend(self.method_settings, self.network, teacher, stage)

    @property
    def meta_parameters(self) -> tuple[Parameter, ...]:
        """What the method trains outside any network."""
        distillation, teacher = find_method(self.method).distillation, self.teacher_network
        if distillation is None or teacher is None:
            return ()
        return distillation.meta_parameters(self.method_settings, self.network, teacher)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The method's plan over the epochs; one stage for most."""
        method = find_method(self.method)
        plan = method.distillation or method.fine_tuning
        if plan is None:
            return plan_stages(self.num_epochs)
        return plan.stages(self.method_settings, self.num_epochs)

    def at_stage(self, name: str) -> "RunSpec":
        """The run as a stage of its plan sees it: with the stage's own data and rates."""
        fine_tuning = find_method(self.method).fine_tuning
        if fine_tuning is None:
            return self.replace(stage=name)
        changes = fine_tuning.settings(self.method_settings, self.model_dump(mode="json"), name)
        return self.replace(stage=name, **changes)

    def coefficients(self, progress: float) -> Mapping[str, float]:
        """Numbers of a step that the method lets run over its last stage, `progress` 0 to 1."""
        distillation = find_method(self.method).distillation
        return distillation.coefficients(self.method_settings, progress) if distillation else {}

    def replace(self, **changes: Any) -> "RunSpec":
        """A copy with these fields changed, validated again."""
        return RunSpec.parse({**self.model_dump(mode="json"), **changes}, "")


def fill_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Put a method's own defaults of other groups where nothing is given."""
    name = values.get("method", "lightlayers")
    if not isinstance(name, str):
        return values
    for group, defaults in find_method(name).defaults.items():
        given = values.get(group) or {}
        if isinstance(given, dict):
            values = {**values, group: {**defaults, **given}}
    return values


def fill_teacher(values: dict[str, Any]) -> dict[str, Any]:
    """Give a method that learns from a teacher one like its student, where none is named."""
    method = values.get("method", "lightlayers")
    if not isinstance(method, str) or find_method(method).distillation is None:
        return values
    return {**values, "teacher": values.get("teacher") or {}}
