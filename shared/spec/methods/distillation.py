"""Learning from a teacher: options and declared layers of KD, LwF and Attention Transfer.

Formulas, shapes and where published codes differ from each other: docs/methods/.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers import Dense
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings
from poc.shared.spec.training.stages import Stage, plan_stages

from .distilling import Distillation, Pair, check_same_classes, find_pairs

SoftLoss = Literal["kl", "cross_entropy"]
OLD_HEAD = "old_head"
WARMUP = "warmup"


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


def compares_always(options: KDOptions) -> bool:
    """The soft loss is the method."""
    return True


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


def find_attention_pairs(
    options: AttentionTransferOptions, target: Network, source: Network
) -> tuple[Pair, ...]:
    """The layers whose attention maps are matched."""
    return find_pairs(options.pairs, target, source, default="one_to_one")


def has_soft_loss(options: AttentionTransferOptions) -> bool:
    """Whether distillation is mixed in."""
    return options.alpha > 0


def extend_attention(
    options: AttentionTransferOptions, target: Network, source: Network, stage: str
) -> Network:
    """Nothing is trained beside the target; its tapped nodes are read by the loss."""
    if has_soft_loss(options):
        check_same_classes("the soft loss of attention_transfer", target, source)
    pairs = find_attention_pairs(options, target, source)
    return target.observing({pair.target for pair in pairs})


KD = Distillation(extend=extend_kd, compares_logits=compares_always)
LWF = Distillation(extend=extend_lwf, stages=plan_lwf, inherit=inherit_lwf)
ATTENTION_TRANSFER = Distillation(extend=extend_attention, compares_logits=has_soft_loss)
