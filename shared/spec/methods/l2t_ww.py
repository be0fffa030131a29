"""Learning What and Where to Transfer (arXiv 1905.05901): options, pairs and declared parameters.

A pair (m, n) matches the source's map m with the target's map n. Three small networks belong to it:
a 1x1 regressor from the target's channels to the source's, a channel-weight network f ("what") and
a loss-weight network g ("where"), both fed by the source map's mean over its pixels. The regressors
learn with the target; f and g are the meta-parameters.

The regressors are side branches of the target's network, so that they have names, momentum and
checkpoints like other layers; f and g belong to no network.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import (
    ONES,
    ZEROS,
    Initializer,
    Parameter,
    Shape,
    kernel_initializer,
)
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from .channel_selection import check_channels, read_selection
from .distilling import Distillation, find_taps, make_pair


class L2TWWOptions(Settings):
    """Options of `l2t-ww`; the defaults are those of the publication and its authors' code.

    An option whose description begins with "deviation" changes the published algorithm if it has
    another value than its default.
    """

    source_taps: tuple[str, ...] = Field(
        (),
        description="matched maps of the source; none: its taps named reduction1, …, or else all",
    )
    target_taps: tuple[str, ...] = Field((), description="maps of the target; none: the same rule")
    pairs: Literal["all", "one_to_one", "single"] | tuple[str, ...] = Field(
        "all",
        description="matched pairs of maps; all: every pair; one_to_one: k-th with k-th, counted "
        'from the last; single: only the last ones; or a list of "SOURCE>TARGET"',
    )
    beta: float = Field(0.5, ge=0, description="weight of the matching loss")
    num_inner_steps: int = Field(2, ge=1, description="T, look-ahead steps on the matching loss")
    meta_learning_rate: float = Field(1e-4, gt=0, description="Adam's learning rate on f and g")
    meta_weight_decay: float = Field(1e-4, ge=0, description="factor of coupled L2 on f and g")
    loss_weights: Literal["relu6", "relu", "const", "none"] = Field(
        "relu6",
        description="output of g; relu6, relu: a gate per image; const: one learned softplus per "
        "pair; none: 1 (the published l2t-w)",
    )
    channel_weights: Literal["softmax", "none"] = Field(
        "softmax",
        description="output of f; softmax: over channels, per image; none: 1 / channels",
    )
    hyper_gradient: Literal["exact", "first_order", "finite_difference"] = Field(
        "exact",
        description="deviation: gradient of f and g; first_order: without the Hessian; "
        "finite_difference: the Hessian from one-sided differences",
    )
    difference_step: float = Field(
        1e-3, gt=0, description="finite_difference: length of the step in parameter space"
    )
    meta_batch: Literal["same", "held_out"] = Field(
        "same",
        description="deviation: held_out: train on a batch's first half, judge on its second; a "
        "batch of one is judged on itself",
    )
    meta_every: int = Field(1, ge=1, description="deviation: number of batches per meta update")
    meta_warmup_steps: int = Field(
        0, ge=0, description="deviation: number of batches before the first meta update"
    )
    rollback: bool = Field(
        True,
        description="deviation: undo the look-ahead steps; false: keep them (Stanford Dogs study)",
    )
    standardize: bool = Field(
        False,
        description="deviation: bring each source channel to mean 0 and deviation 1, with "
        "constants from the first batch",
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
        description="form of the matching error, the same in exact arithmetic; naive: by maps; "
        "gram: by Gram matrices; auto: whichever needs less memory, per map of the target",
    )
    channels_file: str | None = Field(
        None, description="deviation: file of `poc channels` with the source channels to keep"
    )


@dataclass(frozen=True, kw_only=True)
class Regressor(Conv2D):
    """A 1x1 convolution from target to source channels, U(-a, a) with a = scale / sqrt(in)."""

    kernel_size: tuple[int, int] = (1, 1)
    scale: float = 1.0

    def parameters(self, inputs: Sequence[Shape]) -> tuple[Parameter, ...]:
        """Declare kernel (1, 1, in, out) and bias (out,)."""
        limit = self.scale / math.sqrt(inputs[0][-1])
        start = Initializer(distribution="uniform", scale=limit)
        return tuple(replace(p, initializer=start) for p in super().parameters(inputs))


@dataclass(frozen=True, kw_only=True)
class ChannelPair:
    """A matched pair of maps; `channels` are the kept source channels, none for all of them."""

    source: str
    target: str
    source_shape: Shape
    target_shape: Shape
    channels: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """Return SOURCE>TARGET, which names of parameters and metrics contain."""
        return f"{self.source}>{self.target}"

    @property
    def num_source_channels(self) -> int:
        """Return the number of matched source channels."""
        return self.source_shape[-1] if self.channels is None else len(self.channels)

    @property
    def regressor(self) -> str:
        """Return the name of the regressor's layer."""
        return f"regressor/{self.name}"

    def layer(self, options: L2TWWOptions) -> Regressor:
        """Declare the regressor of this pair."""
        return Regressor(filters=self.num_source_channels, scale=options.regressor_scale)

    def meta_parameters(self, options: L2TWWOptions) -> tuple[Parameter, ...]:
        """Declare the parameters of f and g for this pair.

        f is linear and starts at 0, so that w starts at 1 / channels: kernel (C, C), bias (C,). g
        is linear with bias 1: kernel (C, 1), bias (1,); or one value with `const`.
        """
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
    """Find the pairs of a run, grouped by the target's maps.

    Raises:
        UsageError: A tap is missing or not a map, or a list of pairs does not fit.
    """
    selection = read_selection(options.channels_file) if options.channels_file else {}
    sources, targets = find_taps(options.source_taps, options.target_taps, target, source)
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
    """Make the pair of two taps, with the kept channels of the source's map.

    Raises:
        UsageError: A tap is missing or not a map, or does not have these channels.
    """
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
    """Return the pairs as (source tap, target tap).

    Raises:
        UsageError: A listed pair names another tap.
    """
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
            f"Got method_options.pairs={wrong[0]!r}. Expected SOURCE>TARGET with one of the source "
            f"taps {', '.join(sources)} and one of the target taps {', '.join(targets)}. Try "
            f"{sources[-1]}>{targets[-1]}."
        )
    return {(pair[0], pair[1]) for pair in named}


def extend(options: L2TWWOptions, target: Network, source: Network, stage: str) -> Network:
    """Add one regressor per pair to the target, and mark the maps that the loss reads."""
    pairs = find_pairs(options, target, source)
    extended = target.observing({target.node_of(pair.target) for pair in pairs})
    for pair in pairs:
        node = target.node_of(pair.target)
        extended = extended.beside(pair.regressor, pair.layer(options), node)
    return extended


def meta_parameters(
    options: L2TWWOptions, target: Network, source: Network
) -> tuple[Parameter, ...]:
    """Declare the parameters of all meta-networks, in the order of the pairs."""
    pairs = find_pairs(options, target, source)
    return tuple(p for pair in pairs for p in pair.meta_parameters(options))


def group_by_target(pairs: Sequence[ChannelPair]) -> Mapping[str, tuple[ChannelPair, ...]]:
    """Group pairs by target tap, in their order."""
    groups: dict[str, tuple[ChannelPair, ...]] = {}
    for pair in pairs:
        groups[pair.target] = (*groups.get(pair.target, ()), pair)
    return groups


def takes_gram_form(matching: str, pairs: Sequence[ChannelPair]) -> bool:
    """Return whether the pairs of one target map are matched through Gram matrices.

    Per image the naive form keeps H*W*sum(Cs) values. The Gram form keeps Ct*(Ct + sum(Cs)) values
    and the target's map at the resolution of each smaller source.
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
