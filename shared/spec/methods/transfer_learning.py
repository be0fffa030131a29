"""Transfer learning and FixRes: options, plans and declared networks.

Transfer learning puts a new head on a pretrained body. FixRes (arXiv 1906.06423) trains at one
resolution and then fine-tunes the classifier and the last batch norm at another, on images that
look like those of the test.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.networks.freezing import NormMode, TrainedBlocks, partly_frozen
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.network import Network
from poc.shared.spec.open_settings import BY_RECIPE
from poc.shared.spec.settings import Settings
from poc.shared.spec.training.stages import Stage, plan_stages

from .fine_tuning import FineTuning

TRAIN, FINETUNE = "train", "finetune"
# Strength of colour changes and probability of flips in FixRes' second phase.
FINETUNE_COLOUR, FLIP = 0.05, 0.5


class TransferOptions(Settings):
    """Options of transfer learning: new head, trained blocks, learning rates, batch norms."""

    new_head: bool = Field(
        True,
        description="put a new head on the body; false: keep the weight file's own head, which "
        "must fit the classes",
    )
    head_initializer: Literal["declared", "torch_uniform"] = Field(
        "declared",
        description="initial values of the new head's last layer; declared: the architecture's "
        "own, made for a thousand classes; torch_uniform: U(-a, a), a = 1 / sqrt(inputs), small "
        "for any number of classes",
        json_schema_extra=BY_RECIPE,
    )
    trained_blocks: TrainedBlocks = Field(
        0, description="number of the body's blocks that train, counted from the head, or all"
    )
    bn_mode: NormMode = Field(
        "frozen",
        description="batch norms; frozen: none changes; adapt_all: all normalise with the batch; "
        "adapt_last_stats: the last one re-estimates its statistics; adapt_last_affine: the last "
        "one also trains",
    )
    body_rate: float = Field(
        1.0, gt=0, description="factor from the head's learning rate to the last trained block's"
    )
    rate_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor from the learning rate of a trained block to that of the one before it",
    )
    feature_cache: Literal["auto", "memory", "disk", "off"] = Field(
        "auto",
        description="cache for the outputs of the frozen part, computed once per image; auto: in "
        "memory if every epoch has the same images; disk: kept for later runs too",
    )

    @model_validator(mode="after")
    def _check_blocks(self) -> Self:
        """Refuse a negative number of blocks."""
        if self.trained_blocks != "all" and self.trained_blocks < 0:
            raise UsageError(
                f"Got trained_blocks={self.trained_blocks}. Expected 0, a number of blocks or all. "
                "Try trained_blocks=0 for a frozen body."
            )
        return self


class FixResOptions(TransferOptions):
    """Options of FixRes: training at one resolution, fine-tuning and test at another."""

    train_size: int = Field(
        224, ge=1, description="side of the images in the first phase, in pixels"
    )
    test_size: int = Field(
        224, ge=1, description="side of the images in the second phase and in tests, in pixels"
    )
    finetune_epochs: int = Field(
        5,
        ge=1,
        description="epochs of the second phase, the last ones of num_epochs",
        json_schema_extra=BY_RECIPE,
    )
    finetune_bn_mode: NormMode = Field(
        "adapt_last_affine", description="bn_mode of the second phase"
    )
    finetune_view: Literal["test", "shifted"] = Field(
        "shifted",
        description="training view of the second phase; test: the view for evaluation; shifted: "
        "with flips, faint colour jitter and a sideways shift of the crop too",
    )
    finetune_rate: float = Field(
        0.1,
        gt=0,
        description="factor from the learning rate of the first phase to that of the second",
    )


def extend(options: TransferOptions, network: Network, stage: str) -> Network:
    """Freeze the network except its head and the blocks and norms that the options name."""
    return partly_frozen(
        with_head_initializer(network, options.head_initializer),
        trained_blocks=options.trained_blocks,
        bn_mode=options.bn_mode,
        body_rate=options.body_rate,
        rate_decay=options.rate_decay,
    )


def with_head_initializer(network: Network, distribution: str) -> Network:
    """Set the initial distribution of the last layer if it is dense or a convolution.

    `declared` returns the network unchanged.
    """
    head = network.head
    if distribution == "declared" or not isinstance(head.layer, Dense | Conv2D):
        return network
    drawn = replace(head, layer=replace(head.layer, initializer=distribution))
    nodes = tuple(drawn if node.name == head.name else node for node in network.nodes)
    return replace(network, nodes=nodes)


def extend_phase(options: FixResOptions, network: Network, stage: str) -> Network:
    """Freeze as in transfer learning in the first phase; in the second train head and last norm."""
    if stage == TRAIN:
        return extend(options, network, stage)
    network = with_head_initializer(network, options.head_initializer)
    mode = options.finetune_bn_mode
    return partly_frozen(network, trained_blocks=0, bn_mode=mode, option="finetune_bn_mode")


def plan_phases(options: FixResOptions, num_epochs: int) -> tuple[Stage, ...]:
    """Plan the first phase, then `finetune_epochs` epochs of the second.

    Raises:
        UsageError: No epoch is left for the first phase.
    """
    if options.finetune_epochs >= num_epochs:
        raise UsageError(
            f"Got finetune_epochs={options.finetune_epochs} with num_epochs={num_epochs}, "
            "which both phases share. Expected fewer epochs than num_epochs. Try raising "
            "num_epochs."
        )
    first = (TRAIN, num_epochs - options.finetune_epochs)
    return plan_stages(num_epochs, first, last=FINETUNE)


def phase_settings(
    options: FixResOptions, run: Mapping[str, Any], stage: str
) -> Mapping[str, object]:
    """Return the fields of the run that a phase changes: size, training view, learning rate."""
    if stage == TRAIN:
        side = options.train_size
        changes: dict[str, object] = {"data": {**run["data"], "image_size": [side, side]}}
    else:
        side = options.test_size
        view = finetune_view(options.finetune_view, run["data"]["eval_view"])
        rate = run["optimizer"]["learning_rate"] * options.finetune_rate
        data = {**run["data"], "image_size": [side, side], "train_view": view}
        optimizer = {**run["optimizer"], "learning_rate": rate}
        changes = {"data": data, "optimizer": optimizer}
    if run["input_shape"] is not None:
        changes["input_shape"] = [side, side, run["input_shape"][2]]
    return changes


def finetune_view(kind: str, evaluation: Mapping[str, object]) -> dict[str, object]:
    """Return the training view of the second phase, which looks like the view for evaluation."""
    crop = evaluation["crop"] if evaluation["crop"] == "none" else "centre"
    view = {
        "resize": evaluation["resize"],
        "crop": crop,
        "crop_share": evaluation["crop_share"],
    }
    if kind == "test":
        return view
    colour = dict.fromkeys(("brightness", "contrast", "saturation"), FINETUNE_COLOUR)
    moved = "shifted" if crop == "centre" else crop
    return {**view, "crop": moved, "horizontal_flip": FLIP, **colour}


def image_side(options: FixResOptions) -> int:
    """Return the side of the images in tests, in pixels."""
    return options.test_size


TRANSFER = FineTuning(extend=extend)
FIXRES = FineTuning(
    extend=extend_phase, stages=plan_phases, settings=phase_settings, image_side=image_side
)
