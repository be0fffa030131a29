"""FitNets (arXiv 1412.6550): options, the hint pair, the regressor that trains with the target.

Formulas, shapes and differences between published codes: docs/methods/.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.layers.window import Pads
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings
from poc.shared.spec.training.stages import Stage, plan_stages

from .distilling import Distillation, Pair, check_same_classes, find_pairs

HINT = "hint"
HINT_SHARE = 0.3


class FitNetsOptions(Settings):
    """Options of FitNets: two stages as published, or the one-stage form of later work."""

    stages: Literal["two", "one"] = Field(
        "two", description="plan; two: first the hint, then distillation; one: both losses at once"
    )
    pairs: tuple[str, ...] = Field(
        (),
        description='matched taps, each "SOURCE>TARGET"; none: the middle tap of each network',
    )
    regressor: Literal["auto", "valid_conv", "1x1", "repdistiller"] = Field(
        "auto",
        description="convolution from student to teacher; valid_conv: kernel of the size "
        "difference + 1; 1x1: with the teacher's map resized; repdistiller: with batch norm and "
        "ReLU; auto: valid_conv in two stages, 1x1 in one",
    )
    reduction: Literal["auto", "sum_features", "mean"] = Field(
        "auto",
        description="reduction of the squared error over H, W, C; auto: sum_features in two "
        "stages, mean in one",
    )
    hint_weight: float = Field(0.5, ge=0, description="weight of the squared error of the hint")
    hint_epochs: int | None = Field(
        None, ge=1, description="two: epochs of the first stage; none: 30 % of the run"
    )
    temperature: float = Field(
        3.0, gt=0, description="temperature of the soft loss, which divides the logits"
    )
    soft_weights: tuple[float, float] | None = Field(
        None,
        description="first and last weight of the soft loss, linear between, without T^2; none: "
        "(4, 1) in two stages, (0, 0) in one",
    )

    @model_validator(mode="after")
    def _check_hint_epochs(self) -> Self:
        """Refuse the length of a stage that the plan does not have."""
        if self.stages == "one" and self.hint_epochs is not None:
            raise UsageError(
                f"Got hint_epochs={self.hint_epochs} with stages='one', which has no stage of the "
                "hint alone. Expected stages='two' with it. Try leaving one of them out."
            )
        return self

    @property
    def resolved_regressor(self) -> str:
        """Return the kind of regressor, with auto resolved."""
        auto = "valid_conv" if self.stages == "two" else "1x1"
        return auto if self.regressor == "auto" else self.regressor

    @property
    def resolved_reduction(self) -> str:
        """Return the reduction of the squared error, with auto resolved."""
        auto = "sum_features" if self.stages == "two" else "mean"
        return auto if self.reduction == "auto" else self.reduction

    @property
    def resolved_soft_weights(self) -> tuple[float, float]:
        """Return the first and last weight of the soft loss, with the default filled in."""
        return self.soft_weights or ((4.0, 1.0) if self.stages == "two" else (0.0, 0.0))


def find_hints(options: FitNetsOptions, target: Network, source: Network) -> tuple[Pair, ...]:
    """Find the pairs of hint and guided layer."""
    return find_pairs(options.pairs, target, source, default="middle")


def extend_fitnets(
    options: FitNetsOptions, target: Network, source: Network, stage: str
) -> Network:
    """Add one regressor per pair; the hint stage trains only the layers up to the guided ones.

    Raises:
        UsageError: The networks do not fit the pairs, a regressor or the soft loss.
    """
    if has_soft_loss(options):
        check_same_classes("the soft loss of fitnets", target, source)
    if options.stages == "two" and stage != HINT:
        return target
    extended = target
    for pair in find_hints(options, target, source):
        extended = add_regressor(extended, pair, options.resolved_regressor)
    if stage != HINT:
        return extended
    outputs = [regressor_output(options, pair) for pair in find_hints(options, target, source)]
    return extended.training_only({node.name for node in extended.needed(outputs)})


def has_soft_loss(options: FitNetsOptions) -> bool:
    """Return whether the loss has a part that distils the source's logits."""
    return any(options.resolved_soft_weights)


def regressor_output(options: FitNetsOptions, pair: Pair) -> str:
    """Return the name of the node with a regressor's output."""
    suffix = "/relu" if options.resolved_regressor == "repdistiller" else ""
    return f"regressor/{pair.name}{suffix}"


def add_regressor(network: Network, pair: Pair, kind: str) -> Network:
    """Add a convolution from the target's channels to the source's as a side branch.

    Args:
        network: The target, perhaps with other regressors.
        pair: The matched maps.
        kind: `1x1`, `valid_conv` or `repdistiller`.
    """
    name = f"regressor/{pair.name}"
    if kind == "1x1":
        return network.beside(name, regressor_conv(pair, (1, 1)), pair.target)
    if kind == "valid_conv":
        return network.beside(name, regressor_conv(pair, kernel_of_difference(pair)), pair.target)
    halves = all(pair.target_shape[axis] == 2 * pair.source_shape[axis] for axis in (0, 1))
    conv = (
        regressor_conv(pair, (3, 3), strides=(2, 2), pads=((1, 1), (1, 1)))
        if halves
        else regressor_conv(pair, kernel_of_difference(pair))
    )
    network = network.beside(f"{name}/conv", conv, pair.target)
    norm = BatchNorm(momentum=0.9, epsilon=1e-5)
    network = network.beside(f"{name}/norm", norm, f"{name}/conv")
    return network.beside(f"{name}/relu", Activate(activation="relu"), f"{name}/norm")


def regressor_conv(
    pair: Pair,
    kernel_size: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
    pads: Pads = ((0, 0), (0, 0)),
) -> Conv2D:
    """Declare a regressor's convolution; kernel and bias from U(-a, a), a = 1 / sqrt(fan_in)."""
    return Conv2D(
        filters=pair.source_shape[-1],
        kernel_size=kernel_size,
        strides=strides,
        padding=pads,
        initializer="torch_uniform",
        bias_initializer="torch_uniform",
    )


def kernel_of_difference(pair: Pair) -> tuple[int, int]:
    """Return the kernel size that brings the target's map to the source's size without padding.

    Raises:
        UsageError: The target's map is smaller than the source's; the message has both shapes.
    """
    height, width = (pair.target_shape[axis] - pair.source_shape[axis] + 1 for axis in (0, 1))
    if min(height, width) < 1:
        raise UsageError(
            f"Got the pair {pair.name} with a teacher's map {pair.source_shape} larger than the "
            f"student's {pair.target_shape}. Expected a student's map at least as large, since a "
            "convolution without padding only shrinks. Try regressor=1x1, which resizes "
            "the teacher's, or another pair."
        )
    return height, width


def plan_fitnets(options: FitNetsOptions, num_epochs: int) -> tuple[Stage, ...]:
    """Plan the hint, then distillation."""
    if options.stages == "one":
        return plan_stages(num_epochs)
    wanted = options.hint_epochs or max(1, round(HINT_SHARE * num_epochs))
    return plan_stages(num_epochs, (HINT, wanted), last="distillation")


def soft_weight(options: FitNetsOptions, progress: float) -> Mapping[str, float]:
    """Return the weight of the soft loss, linear over the last stage."""
    first, last = options.resolved_soft_weights
    return {"soft": first + (last - first) * progress}


FITNETS = Distillation(
    extend=extend_fitnets,
    stages=plan_fitnets,
    coefficients=soft_weight,
    compares_logits=has_soft_loss,
)
