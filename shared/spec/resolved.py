"""A run with known images: its method and its networks, each declared once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from poc.shared.errors import UsageError

from .habits.networks import with_habits
from .methods.table import Method, find_method, tell_default
from .networks.layers.declaration import Parameter, Shape
from .networks.lora import training_lora, with_lora
from .networks.network import Network
from .networks.products import Product, find_products
from .run import RunSpec
from .settings import Settings
from .training.stages import Stage

# The network of a study of large X-rays is a default model; the other is one for 32 pixels.
NEEDS_LARGE_IMAGES, TAKES_SMALL_IMAGES = "conv2d_chain", "resnet32_cifar"


@dataclass(frozen=True, kw_only=True)
class ResolvedRun:
    """The input of a trainer, of the training loop and of a parity check.

    Attributes:
        spec: The settings; those of a stage if `spec.stage` names one.
        method: The method's row of the table.
        method_settings: The method's options, with defaults filled in, also those that follow from
            the size of a batch.
        network: The declared network without additions of the method, with those of LoRA.
        trained_network: The network with all layers that this stage trains in addition; its logits
            are the same.
        teacher_network: The frozen network that the method learns from, if any.
        meta_parameters: Parameters that the method trains outside any network.
    """

    spec: RunSpec
    method: Method
    method_settings: Settings
    network: Network
    trained_network: Network
    teacher_network: Network | None
    meta_parameters: tuple[Parameter, ...]

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the method's plan over the epochs; most methods have one stage."""
        return self.spec.stages

    def at_stage(self, name: str) -> "ResolvedRun":
        """Return the run of one stage, with the stage's own data, rates and layers."""
        return self.by_stage[name]

    @cached_property
    def by_stage(self) -> Mapping[str, "ResolvedRun"]:
        """Map each stage's name to its run; networks are declared at the first use."""
        return {
            stage.name: resolve_networks(self.spec.at_stage(stage.name)) for stage in self.stages
        }

    @cached_property
    def decayed_products(self) -> tuple[Product, ...]:
        """Return the pairs of kernels whose product decays in place of each kernel, if asked."""
        if self.spec.optimizer.frobenius_decay is None:
            return ()
        return find_products(self.trained_network, self.spec.model_spec.factors)

    def coefficients(self, progress: float) -> Mapping[str, float]:
        """Return the loss weights that the method changes from step to step.

        Args:
            progress: Share of the last stage that is done, 0 to 1.
        """
        plan = self.method.distillation
        return plan.coefficients(self.method_settings, progress) if plan else {}


def resolve_networks(run: RunSpec) -> ResolvedRun:
    """Declare all networks of a run.

    Raises:
        UsageError: The images' shape is not known, they are too small, or teacher and student do
            not fit the method; the message names both sides.
    """
    method, settings = find_method(run.method), run.method_settings
    network, teacher = declare_network(run), declare_teacher(run)
    stage = run.stage or run.stages[-1].name
    trained, meta_parameters = network, tuple[Parameter, ...]()
    if method.fine_tuning is not None:
        trained = training_lora(method.fine_tuning.extend(settings, network, stage))
    elif method.distillation is not None and teacher is not None:
        settings = method.distillation.fill_from_batch(settings, run.data.batch_size)
        trained = method.distillation.extend(settings, network, teacher, stage)
        meta_parameters = method.distillation.meta_parameters(settings, network, teacher)
    return ResolvedRun(
        spec=run,
        method=method,
        method_settings=settings,
        network=network,
        trained_network=trained,
        teacher_network=teacher,
        meta_parameters=meta_parameters,
    )


def declare_network(run: RunSpec) -> Network:
    """Declare the network for this run's images, with the terms of LoRA if it has any.

    Raises:
        UsageError: The images' shape or the number of classes is not known yet, LoRA does not fit
            the network, or as `declare_for`.
    """
    if run.input_shape is None or run.num_classes is None:
        raise UsageError(
            f"Got a run with input_shape={run.input_shape} and num_classes={run.num_classes}. "
            "Expected both to be known. Try opening its data first, or set both."
        )
    return with_lora(declare_for(run, run.input_shape, run.num_classes), run.lora)


def declare_for(run: RunSpec, shape: Shape, num_classes: int) -> Network:
    """Declare the network for images (H, W, C) and a number of classes, without terms of LoRA.

    Native habits of the run are part of it. A teacher's network never has them.

    Raises:
        UsageError: The images are too small; the message says if the model is the default one.
    """
    try:
        network = run.model_spec.declare(shape, num_classes)
        return with_habits(network, run.habits, run.backend)
    except UsageError as error:
        hint = tell_default(run.method, run.model_spec.name)
        if hint and run.model_spec.name == NEEDS_LARGE_IMAGES:
            hint = f"{hint[:-1]}, such as {TAKES_SMALL_IMAGES}, which takes small images."
        raise UsageError(f"{error}{hint}") from None


def declare_teacher(run: RunSpec) -> Network | None:
    """Declare the teacher for this run's images; none if the run has no teacher."""
    if run.teacher is None or run.input_shape is None or run.num_classes is None:
        return None
    model = run.teacher.model or run.model_spec
    return model.declare(run.input_shape, run.teacher.num_classes or run.num_classes)
