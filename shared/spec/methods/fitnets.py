"""FitNets (arXiv 1412.6550): options, the hint pair, the regressor that is trained beside it.

Formulas, shapes and where published codes differ from each other: docs/methods/.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers import Activate, BatchNorm, Conv2D, Pads
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings
from poc.shared.spec.training.stages import Stage, plan_stages

from .distilling import Distillation, Pair, check_same_classes, find_pairs

HINT = "hint"
HINT_SHARE = 0.3


class FitNetsOptions(Settings):
    """Hints (arXiv 1412.6550): two stages as published, or the one-stage form of later work."""

    stages: Literal["two", "one"] = Field(
        "two", description="two: hint, then distillation; one: both losses at once"
    )
    pairs: tuple[str, ...] = Field(
        (), description='"SOURCE>TARGET" taps; none: the middle tap of each network'
    )
    regressor: Literal["auto", "valid_conv", "1x1", "repdistiller"] = Field(
        "auto",
        description="valid_conv: kernel = size difference + 1; 1x1 with the source resized; "
        "repdistiller: with batch norm and ReLU; auto: valid_conv in two stages, 1x1 in one",
    )
    reduction: Literal["auto", "sum_features", "mean"] = Field(
        "auto", description="over H, W, C; auto: sum_features in two stages, mean in one"
    )
    hint_weight: float = Field(0.5, ge=0, description="times the squared error, in either form")
    hint_epochs: int | None = Field(
        None, ge=1, description="two: epochs of the first stage; none: 30 % of the run"
    )
    temperature: float = Field(3.0, gt=0, description="of the soft loss")
    soft_weights: tuple[float, float] | None = Field(
        None,
        description="weight of the soft loss, first and last, linear between; no T^2; "
        "none: (4, 1) in two stages, (0, 0) in one",
    )

    @property
    def resolved_regressor(self) -> str:
        """The regressor, never auto."""
        auto = "valid_conv" if self.stages == "two" else "1x1"
        return auto if self.regressor == "auto" else self.regressor

    @property
    def resolved_reduction(self) -> str:
        """The reduction, never auto."""
        auto = "sum_features" if self.stages == "two" else "mean"
        return auto if self.reduction == "auto" else self.reduction

    @property
    def resolved_soft_weights(self) -> tuple[float, float]:
        """First and last weight of the soft loss."""
        return self.soft_weights or ((4.0, 1.0) if self.stages == "two" else (0.0, 0.0))


def find_hints(options: FitNetsOptions, target: Network, source: Network) -> tuple[Pair, ...]:
    """Hint and guided layer of each pair."""
    return find_pairs(options.pairs, target, source, default="middle")


def extend_fitnets(
    options: FitNetsOptions, target: Network, source: Network, stage: str
) -> Network:
    """A regressor a pair; the hint stage trains up to the guided layers and stops there."""
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
    """Whether the source's logits are distilled at all."""
    return any(options.resolved_soft_weights)


def regressor_output(options: FitNetsOptions, pair: Pair) -> str:
    """Node that holds a regressor's output."""
    suffix = "/relu" if options.resolved_regressor == "repdistiller" else ""
    return f"regressor/{pair.name}{suffix}"


def add_regressor(network: Network, pair: Pair, kind: str) -> Network:
    """A convolution from the target's channels to the source's, beside the network."""
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
    """Kernel and bias from U(-a, a), a = 1 / sqrt(fan in)."""
    return Conv2D(
        filters=pair.source_shape[-1],
        kernel_size=kernel_size,
        strides=strides,
        padding=pads,
        initializer="torch_uniform",
        bias_initializer="torch_uniform",
    )


def kernel_of_difference(pair: Pair) -> tuple[int, int]:
    """Kernel that brings the target's map to the source's size without padding.

    Raises:
        UsageError: The target's map is smaller; names both sides.
    """
    height, width = (pair.target_shape[axis] - pair.source_shape[axis] + 1 for axis in (0, 1))
    if min(height, width) < 1:
        raise UsageError(
            f"received the pair {pair.name} with a source map {pair.source_shape} larger than the "
            f"target's {pair.target_shape}; a convolution without padding only shrinks: set "
            "regressor=1x1, which resizes the source, or choose another pair"
        )
    return height, width


def plan_fitnets(options: FitNetsOptions, num_epochs: int) -> tuple[Stage, ...]:
    """The hint, then distillation."""
    if options.stages == "one":
        return plan_stages(num_epochs)
    wanted = options.hint_epochs or max(1, round(HINT_SHARE * num_epochs))
    return plan_stages(num_epochs, (HINT, wanted), last="distillation")


def soft_weight(options: FitNetsOptions, progress: float) -> Mapping[str, float]:
    """The soft loss's weight, linear over the last stage."""
    first, last = options.resolved_soft_weights
    return {"soft": first + (last - first) * progress}


FITNETS = Distillation(
    extend=extend_fitnets,
    stages=plan_fitnets,
    coefficients=soft_weight,
    compares_logits=has_soft_loss,
)
