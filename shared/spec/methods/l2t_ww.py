"""Learning What and Where to Transfer (arXiv 1905.05901): options, pairs and declared parameters.

A pair (m, n) matches the source's map m with the target's map n. Three small networks belong to it:
a 1x1 regressor from the target's channels to the source's, a channel-weight network f ("what") and
a loss-weight network g ("where"), both fed by the source map's mean over its pixels. The regressors
learn with the target; f and g are the meta-parameters.

The regressors stand beside the target's network as layers, so that they have names, momentum and
checkpoints like any other; f and g belong to no network.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers import (
    ONES,
    ZEROS,
    Conv2D,
    Initializer,
    Parameter,
    Shape,
    kernel_initializer,
)
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from .channel_selection import check_channels, read_selection
from .distilling import Distillation, default_taps, make_pair


class L2TWWOptions(Settings):
    """Options of `l2t-ww`; the defaults are the publication's and its authors' code.

    Every option whose description begins with "deviation" changes the published algorithm as soon
    as it leaves its default.
    """

    source_taps: tuple[str, ...] = Field(
        (), description="maps of the source; none: its taps named reduction…, else all of them"
    )
    target_taps: tuple[str, ...] = Field((), description="maps of the target; none: the same rule")
    pairs: Literal["all", "one_to_one", "single"] | tuple[str, ...] = Field(
        "all",
        description="all pairs, k-th with k-th counted from the last, the last ones only, or a "
        'list of "SOURCE>TARGET"',
    )
    beta: float = Field(0.5, ge=0, description="factor of the matching loss")
    num_inner_steps: int = Field(2, ge=1, description="T: look-ahead steps on the matching loss")
    meta_learning_rate: float = Field(1e-4, gt=0, description="Adam's rate on the meta-networks")
    meta_weight_decay: float = Field(1e-4, ge=0, description="coupled L2 on the meta-networks")
    loss_weights: Literal["relu6", "relu", "const", "none"] = Field(
        "relu6",
        description='g: ReLU6 or ReLU gate per image, one learned softplus per pair, or "none" '
        "(1: the published l2t-w)",
    )
    channel_weights: Literal["softmax", "none"] = Field(
        "softmax", description='f: softmax per image, or "none" (1 / channels for every channel)'
    )
    hyper_gradient: Literal["exact", "first_order", "finite_difference"] = Field(
        "exact",
        description="deviation: leave the Hessian out, or take it from one-sided differences",
    )
    difference_step: float = Field(
        1e-3, gt=0, description="finite_difference: length of the step in parameter space"
    )
    meta_batch: Literal["same", "held_out"] = Field(
        "same", description="deviation: train on the first half of the batch, judge on the second"
    )
    meta_every: int = Field(1, ge=1, description="deviation: meta update every so many batches")
    meta_warmup_steps: int = Field(
        0, ge=0, description="deviation: batches before the first meta update"
    )
    rollback: bool = Field(
        True,
        description="deviation: keep the look-ahead steps, as the Stanford Dogs study reads the "
        "algorithm",
    )
    standardize: bool = Field(
        False,
        description="deviation: bring each source channel to mean 0 and deviation 1, with "
        "constants taken on the first batch",
    )
    clip_norm: float | None = Field(
        None, gt=0, description="deviation: largest global norm of each kept gradient on theta"
    )
    meta_clip_norm: float | None = Field(
        None, gt=0, description="deviation: largest global norm of the hyper-gradient"
    )
    regressor_scale: float = Field(
        1.0, ge=0, description="deviation: factor on the regressors' initial values; 0: zeros"
    )
    matching: Literal["auto", "naive", "gram"] = Field(
        "auto",
        description="form of the matching error, equal in exact arithmetic: by maps, by Gram "
        "matrices, or by whichever needs less memory for each map of the target",
    )
    channels_file: str | None = Field(
        None, description="deviation: keep only the source channels that `poc channels` chose"
    )


@dataclass(frozen=True, kw_only=True)
class Regressor(Conv2D):
    """1x1 convolution from the target's channels to the source's, U(-a, a), a = scale/sqrt(in)."""

    kernel_size: tuple[int, int] = (1, 1)
    scale: float = 1.0

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Kernel and bias."""
        limit = self.scale / math.sqrt(inputs[0][-1])
        start = Initializer(distribution="uniform", scale=limit)
        return tuple(replace(p, initializer=start) for p in super().parameters(inputs))


@dataclass(frozen=True, kw_only=True)
class ChannelPair:
    """One matched pair; `channels` are the kept source channels, none for all of them."""

    source: str
    target: str
    source_shape: Shape
    target_shape: Shape
    channels: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """SOURCE>TARGET, in names of parameters and metrics."""
        return f"{self.source}>{self.target}"

    @property
    def num_source_channels(self) -> int:
        """Channels that are matched."""
        return self.source_shape[-1] if self.channels is None else len(self.channels)

    @property
    def regressor(self) -> str:
        """Name of the regressor's layer."""
        return f"regressor/{self.name}"

    def layer(self, options: L2TWWOptions) -> Regressor:
        """The regressor."""
        return Regressor(filters=self.num_source_channels, scale=options.regressor_scale)

    def meta_parameters(self, options: L2TWWOptions) -> tuple[Parameter, ...]:
        """f: linear from 0, so that w starts at 1 / channels. g: linear, bias 1."""
        channels = self.num_source_channels
        prefix = f"meta/{self.name}"
        parameters: list[Parameter] = []
        if options.channel_weights == "softmax":
            parameters += [
                Parameter(
                    name=f"{prefix}/channel/kernel", shape=(channels, channels), initializer=ZEROS
                ),
                Parameter(name=f"{prefix}/channel/bias", shape=(channels,), initializer=ZEROS),
            ]
        if options.loss_weights in ("relu6", "relu"):
            start = kernel_initializer("torch_uniform", (channels, 1))
            parameters += [
                Parameter(name=f"{prefix}/loss/kernel", shape=(channels, 1), initializer=start),
                Parameter(name=f"{prefix}/loss/bias", shape=(1,), initializer=ONES),
            ]
        elif options.loss_weights == "const":
            parameters.append(Parameter(name=f"{prefix}/loss/scale", shape=(1,), initializer=ZEROS))
        return tuple(parameters)


def find_pairs(options: L2TWWOptions, target: Network, source: Network) -> tuple[ChannelPair, ...]:
    """The pairs of a run, grouped by the target's maps.

    Raises:
        UsageError: A tap that is missing or no map, or a list of pairs that does not fit.
    """
    selection = read_selection(options.channels_file) if options.channels_file else {}
    sources = options.source_taps or default_taps(source)
    targets = options.target_taps or default_taps(target)
    if not sources or not targets:
        raise UsageError(
            f"received no method_options.source_taps or target_taps for the source {source.name} "
            f"with the taps {list(sources)} and the target {target.name} with {list(targets)}; "
            "name layers of both"
        )
    chosen = chosen_pairs(options.pairs, sources, targets)
    return tuple(
        match(m, n, target, source, selection.get(m))
        for n in targets
        for m in sources
        if (m, n) in chosen
    )


def match(
    source_tap: str,
    target_tap: str,
    target: Network,
    source: Network,
    channels: tuple[int, ...] | None,
) -> ChannelPair:
    """One pair of maps, with the kept channels of the source's."""
    pair = make_pair(source_tap, target_tap, target, source)
    return ChannelPair(
        source=source_tap,
        target=target_tap,
        source_shape=pair.source_shape,
        target_shape=pair.target_shape,
        channels=check_channels(source_tap, channels, pair.source_shape),
    )


def chosen_pairs(
    pairs: str | Sequence[str], sources: Sequence[str], targets: Sequence[str]
) -> set[tuple[str, str]]:
    """(source, target) names of the pairs."""
    if pairs == "all":
        return {(m, n) for m in sources for n in targets}
    if pairs == "single":
        return {(sources[-1], targets[-1])}
    if pairs == "one_to_one":
        return set(zip(reversed(sources), reversed(targets), strict=False))
    named = {tuple(pair.split(">")) for pair in pairs}
    allowed = {(m, n) for m in sources for n in targets}
    if wrong := sorted(str(">".join(pair)) for pair in named - allowed):
        raise UsageError(
            f"received method_options.pairs={wrong[0]!r}; allowed are SOURCE>TARGET with a source "
            f"tap of {', '.join(sources)} and a target tap of {', '.join(targets)}: correct it"
        )
    return {(pair[0], pair[1]) for pair in named}


def extend(options: L2TWWOptions, target: Network, source: Network, stage: str) -> Network:
    """A regressor a pair beside the target, whose matched maps the loss reads."""
    pairs = find_pairs(options, target, source)
    extended = target.observing({target.node_of(pair.target) for pair in pairs})
    for pair in pairs:
        node = target.node_of(pair.target)
        extended = extended.beside(pair.regressor, pair.layer(options), node)
    return extended


def meta_parameters(
    options: L2TWWOptions, target: Network, source: Network
) -> tuple[Parameter, ...]:
    """Every meta-network, in the order of the pairs."""
    pairs = find_pairs(options, target, source)
    return tuple(p for pair in pairs for p in pair.meta_parameters(options))


def group_by_target(pairs: Sequence[ChannelPair]) -> Mapping[str, tuple[ChannelPair, ...]]:
    """Target tap -> its pairs, in their order."""
    groups: dict[str, tuple[ChannelPair, ...]] = {}
    for pair in pairs:
        groups[pair.target] = (*groups.get(pair.target, ()), pair)
    return groups


def takes_gram_form(matching: str, pairs: Sequence[ChannelPair]) -> bool:
    """Whether the pairs of one target map are matched through Gram matrices.

    Per image the naive form keeps H*W*sum(Cs) values and the Gram form Ct*(Ct + sum(Cs)) plus the
    target's map at each smaller source's resolution.
    """
    if matching != "auto":
        return matching == "gram"
    height, width, in_channels = pairs[0].target_shape
    sources = {pair.source: pair for pair in pairs}.values()
    naive = height * width * sum(pair.num_source_channels for pair in pairs)
    resized = sum(
        pair.source_shape[0] * pair.source_shape[1]
        for pair in sources
        if pair.source_shape[0] * pair.source_shape[1] < height * width
    )
    channels = sum(pair.num_source_channels for pair in pairs)
    return (in_channels + 1) * (in_channels + 1 + channels + resized) * 2 < naive


L2T_WW = Distillation(extend=extend, meta_parameters=meta_parameters)
