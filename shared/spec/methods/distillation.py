"""Learning from a teacher: options and declared layers of KD, LwF and Attention Transfer.

Formulas, shapes and differences between published codes: docs/methods/.
"""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings
from poc.shared.spec.training.stages import Stage, plan_stages

from .distilling import Distillation, Pair, check_same_classes, find_pairs

SoftLoss = Literal["kl", "cross_entropy"]
OLD_HEAD = "old_head"
WARMUP = "warmup"


class KDOptions(Settings):
    """Options of knowledge distillation (arXiv 1503.02531)."""

    temperature: float = Field(
        4.0, gt=0, description="T, which divides the logits of teacher and student"
    )
    alpha: float = Field(0.9, ge=0, description="weight of the soft loss")
    mixing: Literal["convex", "additive"] = Field(
        "convex",
        description="sum of the losses; convex: (1 - alpha) hard + alpha soft; additive: hard + "
        "alpha soft",
    )
    soft_loss: SoftLoss = Field(
        "kl",
        description="form of the soft loss, both with the same gradient; cross_entropy adds the "
        "teacher's entropy to the value",
    )
    scale_by_temperature_squared: bool = Field(
        True,
        description="multiply the soft loss by T^2, so that its gradient does not shrink with T",
    )

    @model_validator(mode="after")
    def _check_alpha(self) -> Self:
        """Refuse a convex mixture with a weight above 1."""
        if self.mixing == "convex" and self.alpha > 1:
            raise UsageError(
                f"Got alpha={self.alpha} with mixing='convex'. Expected 0 to 1. Try a lower value, "
                "or mixing=additive."
            )
        return self


class LwFOptions(Settings):
    """Options of Learning without Forgetting (arXiv 1606.09282), in two forms."""

    form: Literal["original", "cross_architecture"] = Field(
        "original",
        description="trained network; original: the teacher itself, whose old head is distilled on "
        "the new images; cross_architecture: any student, with an extra head that mimics the "
        "teacher",
    )
    temperature: float = Field(
        2.0, gt=0, description="T, which divides the logits of teacher and student"
    )
    lambda_old: float = Field(1.0, ge=0, description="weight of the old task's loss")
    soft_loss: SoftLoss = Field(
        "cross_entropy",
        description="form of the old task's loss; cross_entropy is the paper's, kl has the same "
        "gradient",
    )
    scale_by_temperature_squared: bool = Field(
        False, description="multiply the old task's loss by T^2"
    )
    train_old_head: bool = Field(
        True, description="train the old head; false: it keeps its initial weights"
    )
    warmup_epochs: int | None = Field(
        None,
        ge=0,
        description="original: first epochs, which only train the new head, with batch norms in "
        "evaluation mode; none: 1",
    )

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        """Refuse options of the original form, the only one with a trained body and head."""
        if self.form == "cross_architecture" and self.warmup_epochs:
            raise UsageError(
                f"Got warmup_epochs={self.warmup_epochs} with form='cross_architecture', "
                "whose body starts untrained. Expected 0. Try leaving it out."
            )
        if self.form == "cross_architecture" and not self.train_old_head:
            raise UsageError(
                "Got train_old_head=false with form='cross_architecture', whose extra head starts "
                "with random weights. Expected true. Try leaving it out."
            )
        return self


class AttentionTransferOptions(Settings):
    """Options of Attention Transfer (arXiv 1612.03928)."""

    pairs: tuple[str, ...] = Field(
        (),
        description='matched taps, each "SOURCE>TARGET"; none: one to one, counted from the last',
    )
    form: Literal["code", "paper"] = Field(
        "code",
        description="matching loss; code: mean of squared differences; paper: half the norm of the "
        "difference",
    )
    map: Literal["sum", "sum_p", "max_p"] = Field(
        "sum_p",
        description="attention map over channels; sum: sum |x|; sum_p: sum |x|^power; max_p: "
        "max |x|^power",
    )
    power: float = Field(2.0, ge=1, description="exponent of the attention map")
    beta: float | None = Field(
        None,
        ge=0,
        description="weight of the matching loss; none: 1000 for code, 0.1 for paper, which are "
        "not interchangeable",
    )
    size_rule: Literal["pool_larger", "resize_source"] = Field(
        "pool_larger",
        description="rule for maps of different sizes; pool_larger: average the larger one; "
        "resize_source: resize the teacher's",
    )
    alpha: float = Field(
        0.0, ge=0, le=1, description="share of the soft loss in the loss; 0: no distillation"
    )
    temperature: float = Field(
        4.0, gt=0, description="temperature of the soft loss, which divides the logits"
    )

    @property
    def resolved_beta(self) -> float:
        """Return the weight of the matching loss, with the default of the form filled in."""
        if self.beta is None:
            return 1000.0 if self.form == "code" else 0.1
        return self.beta


def extend_kd(options: KDOptions, target: Network, source: Network, stage: str) -> Network:
    """Return the target without additions.

    Raises:
        UsageError: The two networks have different numbers of classes.
    """
    check_same_classes("kd", target, source)
    return target


def compares_always(options: KDOptions) -> bool:
    """Return true: the soft loss is the method."""
    return True


def extend_lwf(options: LwFOptions, target: Network, source: Network, stage: str) -> Network:
    """Add the head of the old task next to the new one.

    Raises:
        UsageError: The original form, and a source with another body than the target's.
    """
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
    """Refuse a source whose layers, except the head, are not the target's.

    Raises:
        UsageError: A layer differs; the message names both networks and the first difference.
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
            f"Got the teacher {source.name} and the student {target.name} for lwf, which differ "
            f"at {(different or [target.head.name])[0]}. Expected one architecture with the same "
            "options, since the original form trains the teacher itself. Try "
            "form=cross_architecture."
        )


def inherit_lwf(options: LwFOptions, target: Network, source: Network) -> Mapping[str, str]:
    """Map the body and the old head to the source's parameters in the original form."""
    if options.form == "cross_architecture":
        return {}
    heads = (f"{source.head.name}/", f"{target.head.name}/")
    body = {p.name: p.name for p in source.parameters if not p.name.startswith(heads)}
    old = {f"{OLD_HEAD}/{p.name.removeprefix(heads[0])}": p.name for p in source.head.parameters}
    return {**body, **old}


def plan_lwf(options: LwFOptions, num_epochs: int) -> tuple[Stage, ...]:
    """Plan the new head alone, then the full network."""
    wanted = 1 if options.warmup_epochs is None else options.warmup_epochs
    if options.form == "cross_architecture" or not wanted:
        return plan_stages(num_epochs)
    return plan_stages(num_epochs, (WARMUP, wanted), last="joint")


def find_attention_pairs(
    options: AttentionTransferOptions, target: Network, source: Network
) -> tuple[Pair, ...]:
    """Find the layers whose attention maps are matched."""
    return find_pairs(options.pairs, target, source, default="one_to_one")


def has_soft_loss(options: AttentionTransferOptions) -> bool:
    """Return whether the loss has a share of distillation."""
    return options.alpha > 0


def extend_attention(
    options: AttentionTransferOptions, target: Network, source: Network, stage: str
) -> Network:
    """Mark the target's nodes that the loss reads; no layer is added.

    Raises:
        UsageError: The networks do not fit the pairs or the soft loss.
    """
    if has_soft_loss(options):
        check_same_classes("the soft loss of attention_transfer", target, source)
    pairs = find_attention_pairs(options, target, source)
    return target.observing({pair.target for pair in pairs})


KD = Distillation(extend=extend_kd, compares_logits=compares_always)
LWF = Distillation(extend=extend_lwf, stages=plan_lwf, inherit=inherit_lwf)
ATTENTION_TRANSFER = Distillation(extend=extend_attention, compares_logits=has_soft_loss)
