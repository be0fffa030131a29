"""Learning from a teacher: options and declared layers of KD, LwF, FitNets and Attention Transfer.

Formulas, shapes and where published codes differ from each other: docs/methods/.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .layers import Activate, BatchNorm, Conv2D, Dense, Pads
from .network import Network
from .settings import Settings
from .stages import Stage, plan_stages
from .transfer import Pair, Transfer, check_same_classes, find_pairs

SoftLoss = Literal["kl", "cross_entropy"]
OLD_HEAD = "old_head"
HINT, WARMUP = "hint", "warmup"
HINT_SHARE = 0.3


class KDOptions(Settings):
    """Knowledge distillation (arXiv 1503.02531)."""

    temperature: float = Field(4.0, gt=0, description="divides the logits of both sides")
    alpha: float = Field(0.9, ge=0, description="weight of the soft loss")
    mixing: Literal["convex", "additive"] = Field(
        "convex", description="(1 - alpha) hard + alpha soft, or hard + alpha soft"
    )
    soft_loss: SoftLoss = Field(
        "kl", description="same gradient; cross_entropy adds the teacher's entropy to the value"
    )
    scale_by_temperature_squared: bool = Field(
        True, description="times T^2, so that the gradient does not shrink with T"
    )

    @model_validator(mode="after")
    def _check_alpha(self) -> Self:
        """A convex mixture has a weight of at most 1."""
        if self.mixing == "convex" and self.alpha > 1:
            raise UsageError(
                f"received alpha={self.alpha} with mixing='convex'; allowed is 0 to 1: lower it or "
                "set mixing=additive"
            )
        return self


class LwFOptions(Settings):
    """Learning without Forgetting (arXiv 1606.09282), in two readings."""

    form: Literal["original", "cross_architecture"] = Field(
        "original",
        description="original: the source itself is trained, its old head distilled on the new "
        "images; cross_architecture: any target, with an extra head that mimics the source",
    )
    temperature: float = Field(2.0, gt=0, description="divides the logits of both sides")
    lambda_old: float = Field(1.0, ge=0, description="weight of the old task's loss")
    soft_loss: SoftLoss = Field("cross_entropy", description="as printed; same gradient as kl")
    scale_by_temperature_squared: bool = Field(False, description="times T^2")
    train_old_head: bool = Field(True, description="false: the old head stays as it starts")
    warmup_epochs: int | None = Field(
        None,
        ge=0,
        description="original: epochs that train the new head alone, the rest frozen, batch norms "
        "in evaluation mode; none: 1",
    )

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        """Only the original form starts from a trained body."""
        if self.form == "cross_architecture" and self.warmup_epochs:
            raise UsageError(
                f"received warmup_epochs={self.warmup_epochs} with form='cross_architecture', "
                "whose body starts untrained; allowed is 0: leave it out"
            )
        if self.form == "cross_architecture" and not self.train_old_head:
            raise UsageError(
                "received train_old_head=false with form='cross_architecture', whose extra head "
                "is drawn; allowed is true: leave it out"
            )
        return self


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


class AttentionTransferOptions(Settings):
    """Attention Transfer (arXiv 1612.03928)."""

    pairs: tuple[str, ...] = Field(
        (), description='"SOURCE>TARGET" taps; none: one to one, counted from the last'
    )
    form: Literal["code", "paper"] = Field(
        "code",
        description="code: mean of squared differences; paper: half the norm of the difference",
    )
    map: Literal["sum", "sum_p", "max_p"] = Field(
        "sum_p", description="over channels: sum |x|, sum |x|^power, max |x|^power"
    )
    power: float = Field(2.0, ge=1, description="p")
    beta: float | None = Field(
        None, ge=0, description="weight; none: 1000 for code, 0.1 for paper; not interchangeable"
    )
    size_rule: Literal["pool_larger", "resize_source"] = Field(
        "pool_larger", description="maps of different sizes: average, or resize the source"
    )
    alpha: float = Field(0.0, ge=0, le=1, description="share of the soft loss; 0: no distillation")
    temperature: float = Field(4.0, gt=0, description="of the soft loss")

    @property
    def resolved_beta(self) -> float:
        """The weight, never none."""
        if self.beta is None:
            return 1000.0 if self.form == "code" else 0.1
        return self.beta


def extend_kd(options: KDOptions, target: Network, source: Network, stage: str) -> Network:
    """Nothing is added; both sides know the same classes."""
    check_same_classes("kd", target, source)
    return target


def extend_lwf(options: LwFOptions, target: Network, source: Network, stage: str) -> Network:
    """The head of the old task beside the new one."""
    if options.form == "original":
        check_same_body(target, source)
        layer = source.head.layer
    else:
        layer = Dense(
            units=source.num_classes,
            initializer="torch_uniform",
            bias_initializer="torch_uniform",
        )
    extended = target.beside(OLD_HEAD, layer, *target.head.inputs)
    if stage == WARMUP:
        return extended.training_only({target.head.name})
    if not options.train_old_head:
        return extended.training_only({node.name for node in extended.nodes} - {OLD_HEAD})
    return extended


def check_same_body(target: Network, source: Network) -> None:
    """Refuse a source whose layers, the head apart, are not the target's.

    Raises:
        UsageError: Names both sides and the first difference.
    """
    bodies = [
        {p.name: p.shape for node in network.nodes if node != network.head for p in node.parameters}
        for network in (source, target)
    ]
    different = [
        name for name in {**bodies[0], **bodies[1]} if bodies[0].get(name) != bodies[1].get(name)
    ]
    if different or source.head.inputs != target.head.inputs:
        raise UsageError(
            f"received the source {source.name} and the target {target.name} for lwf, which differ "
            f"at {(different or [target.head.name])[0]}; the original form trains the source "
            "itself: allowed is one architecture with the same options, or set "
            "form=cross_architecture"
        )


def inherit_lwf(options: LwFOptions, target: Network, source: Network) -> Mapping[str, str]:
    """Original form: the body and the old head are the source's."""
    if options.form == "cross_architecture":
        return {}
    heads = (f"{source.head.name}/", f"{target.head.name}/")
    body = {p.name: p.name for p in source.parameters if not p.name.startswith(heads)}
    old = {f"{OLD_HEAD}/{p.name.removeprefix(heads[0])}": p.name for p in source.head.parameters}
    return {**body, **old}


def plan_lwf(options: LwFOptions, num_epochs: int) -> tuple[Stage, ...]:
    """The new head alone, then everything."""
    wanted = 1 if options.warmup_epochs is None else options.warmup_epochs
    if options.form == "cross_architecture" or not wanted:
        return plan_stages(num_epochs)
    return plan_stages(num_epochs, (WARMUP, wanted), last="joint")


def find_hints(options: FitNetsOptions, target: Network, source: Network) -> tuple[Pair, ...]:
    """Hint and guided layer of each pair."""
    return find_pairs(options.pairs, target, source, default="middle")


def extend_fitnets(
    options: FitNetsOptions, target: Network, source: Network, stage: str
) -> Network:
    """A regressor a pair; the hint stage trains up to the guided layers and stops there."""
    if any(options.resolved_soft_weights):
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


def find_attention_pairs(
    options: AttentionTransferOptions, target: Network, source: Network
) -> tuple[Pair, ...]:
    """The layers whose attention maps are matched."""
    return find_pairs(options.pairs, target, source, default="one_to_one")


def extend_attention(
    options: AttentionTransferOptions, target: Network, source: Network, stage: str
) -> Network:
    """Nothing is trained beside the target; its tapped nodes are read by the loss."""
    if options.alpha:
        check_same_classes("the soft loss of attention_transfer", target, source)
    pairs = find_attention_pairs(options, target, source)
    return target.observing({pair.target for pair in pairs})


KD = Transfer(extend=extend_kd)
LWF = Transfer(extend=extend_lwf, stages=plan_lwf, inherit=inherit_lwf)
FITNETS = Transfer(extend=extend_fitnets, stages=plan_fitnets, coefficients=soft_weight)
ATTENTION_TRANSFER = Transfer(extend=extend_attention)
