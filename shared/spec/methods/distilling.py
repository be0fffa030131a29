"""Common parts of methods that learn from a source: pairs of taps, and additions to a target.

A method declares, as plain data, the layers that it trains in addition to the target (regressors, a
second head), the layers that each stage trains, and the parameters that start from the source's
weights. Both backends then build, initialise, optimise, store and compare them like other layers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from poc.shared.errors import UsageError
from poc.shared.shown_names import say
from poc.shared.spec.networks.layers.declaration import Layer, Parameter, Shape
from poc.shared.spec.networks.network import Network, Node
from poc.shared.spec.training.stages import Stage, plan_stages

Options = TypeVar("Options")
NUMBERED = re.compile(r"reduction\d+")


class Pair(NamedTuple):
    """A matched pair of maps: nodes of the source and of the target, with shapes (H, W, C)."""

    name: str
    source: str
    target: str
    source_shape: Shape
    target_shape: Shape


def target_alone(options: object, target: Network, source: Network, stage: str) -> Network:
    """Return the target without additions."""
    return target


def one_stage(options: object, num_epochs: int) -> tuple[Stage, ...]:
    """Plan one stage over the full run."""
    return plan_stages(num_epochs)


def inherit_nothing(options: object, target: Network, source: Network) -> Mapping[str, str]:
    """Return no parameters: none starts from the source's weights."""
    return {}


def no_coefficients(options: object, progress: float) -> Mapping[str, float]:
    """Return no numbers: every weight of the loss is constant."""
    return {}


def compares_nothing(options: object) -> bool:
    """Return false: no loss compares logits of the source with logits of the target."""
    return False


def keep_options(options: Options, batch_size: int) -> Options:
    """Return the same options: none of them follows from the size of a batch."""
    return options


def no_parameters(options: object, target: Network, source: Network) -> tuple[Parameter, ...]:
    """Return no parameters: all training is inside the network."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Distillation(Generic[Options]):
    """The declaration of a method that learns from a source: functions of its options.

    Attributes:
        extend: (options, target, source, stage) -> the network that is trained; refuses wrong
            pairs of networks.
        stages: (options, num_epochs) -> the plan.
        inherit: (options, target, source) -> map from a parameter to the source's parameter from
            which it starts.
        coefficients: (options, progress) -> loss weights of a step; `progress` goes from 0 to 1
            over the last stage.
        compares_logits: (options) -> true if logits of the source are compared with those of the
            target, column by column, so that both must know the same classes in the same order.
        meta_parameters: (options, target, source) -> parameters that are trained outside any
            network, by an update rule of the method's own.
        fill_from_batch: (options, batch_size) -> the options with those filled in that follow from
            the size of a batch.
    """

    extend: Callable[[Options, Network, Network, str], Network] = target_alone
    stages: Callable[[Options, int], tuple[Stage, ...]] = one_stage
    inherit: Callable[[Options, Network, Network], Mapping[str, str]] = inherit_nothing
    coefficients: Callable[[Options, float], Mapping[str, float]] = no_coefficients
    compares_logits: Callable[[Options], bool] = compares_nothing
    meta_parameters: Callable[[Options, Network, Network], tuple[Parameter, ...]] = no_parameters
    fill_from_batch: Callable[[Options, int], Options] = keep_options


def find_pairs(
    named: tuple[str, ...], target: Network, source: Network, *, default: str
) -> tuple[Pair, ...]:
    """Find the pairs of maps that a loss matches.

    Args:
        named: "SOURCE>TARGET" by tap or layer name; empty: the default.
        target: The network that is trained.
        source: The network that it learns from.
        default: `middle` (the middle tap of each network) or `one_to_one` (k-th with k-th, counted
            from the last, until one network has no more). Taps named reduction1, reduction2, …
            are used if the network has any, or else all taps.

    Raises:
        UsageError: No such tap, or one that is not a map; the message names both networks.
    """
    if named:
        return tuple(parse_pair(text, target, source) for text in named)
    sources, targets = default_taps(source), default_taps(target)
    if not sources or not targets:
        raise UsageError(
            f"Got no pairs for the teacher {source.name} with the taps {list(sources)} and the "
            f"student {target.name} with the taps {list(targets)}. Expected names of layers. Try "
            f'method_options.pairs=["{example_map(source)}>{example_map(target)}"].'
        )
    if default == "middle":
        return (make_pair(sources[len(sources) // 2], targets[len(targets) // 2], target, source),)
    matched = zip(reversed(sources), reversed(targets), strict=False)
    return tuple(make_pair(m, n, target, source) for m, n in matched)[::-1]


def default_taps(network: Network) -> tuple[str, ...]:
    """Return the taps before each reduction of the map if the network has any, or all taps.

    They are numbered: `reduction_a` of an Inception-ResNet is the output of a module.
    """
    numbered = tuple(tap for tap in network.taps if NUMBERED.fullmatch(tap))
    return numbered or tuple(network.taps)


def find_taps(
    named_sources: tuple[str, ...],
    named_targets: tuple[str, ...],
    target: Network,
    source: Network,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the taps of the source and those of the target; where none is named, the default ones.

    Raises:
        UsageError: A network has no taps, and none is named.
    """
    sources = named_sources or default_taps(source)
    targets = named_targets or default_taps(target)
    if not sources or not targets:
        raise UsageError(
            "Got no method_options.source_taps or method_options.target_taps for the source "
            f"{source.name} with the taps {list(sources)} and the target {target.name} with the "
            f"taps {list(targets)}. Expected maps of both. Try names of their layers."
        )
    return sources, targets


def add_fed(network: Network, name: str, layer: Layer, given: str, shape: Shape) -> Network:
    """Add a layer as a side branch that reads no node but a value that the loss gives it.

    Args:
        network: The target, perhaps with other side branches.
        name: Name of the node.
        layer: The layer.
        given: Name under which the loss gives the value; no node has it.
        shape: Shape of the value, without the batch.
    """
    node = Node(
        name=name,
        layer=layer,
        inputs=(given,),
        input_shapes=(shape,),
        output_shape=layer.output_shape((shape,)),
    )
    # Before the last node, which stays the network's output.
    return replace(network, nodes=(*network.nodes[:-1], node, network.nodes[-1]))


def maps_of(network: Network) -> tuple[str, ...]:
    """Return the taps that are maps (height, width, channels)."""
    return tuple(tap for tap in network.taps if len(network.shape_of(network.node_of(tap))) == 3)


def example_map(network: Network) -> str:
    """Return the name of one map: a tap, or else the first layer that gives a map."""
    nodes = (node.name for node in network.nodes if len(node.output_shape) == 3)
    return next(iter((*maps_of(network), *nodes)), "LAYER")


def parse_pair(text: str, target: Network, source: Network) -> Pair:
    """Read a pair "SOURCE>TARGET".

    Raises:
        UsageError: Another form, no such tap, or one that is not a map.
    """
    first, separator, second = text.partition(">")
    if not separator:
        raise UsageError(
            f"Got method_options.pairs with {text!r}. Expected SOURCE>TARGET, a layer of the "
            "teacher and one of the student. Try "
            f'method_options.pairs=["{example_map(source)}>{example_map(target)}"].'
        )
    return make_pair(first, second, target, source)


def make_pair(source_tap: str, target_tap: str, target: Network, source: Network) -> Pair:
    """Make the pair of two taps.

    Raises:
        UsageError: No such tap, or one that is not a map; the message names both networks.
    """
    nodes: list[str] = []
    shapes: list[Shape] = []
    sides = (("teacher", source, source_tap), ("student", target, target_tap))
    for side, network, tap in sides:
        try:
            nodes.append(network.node_of(tap))
        except UsageError as error:
            other = target if side == "teacher" else source
            raise UsageError(
                f"{error} This tap is of the {side}; the other network is {other.name}."
            ) from None
        shapes.append(network.shape_of(nodes[-1]))
        if len(shapes[-1]) != 3 or nodes[-1] == network.output:
            raise UsageError(
                f"Got the pair {source_tap}>{target_tap}, whose {side} {tap!r} of "
                f"{network.name} has shape {shapes[-1]}. Expected a map (height, width, "
                f"channels). Try {' or '.join(maps_of(network)) or example_map(network)}."
            )
    return Pair(f"{source_tap}>{target_tap}", nodes[0], nodes[1], shapes[0], shapes[1])


def check_same_classes(method: str, target: Network, source: Network) -> None:
    """Refuse to compare logits of different numbers of classes.

    Raises:
        UsageError: The numbers differ; the message names both networks.
    """
    if source.num_classes != target.num_classes:
        raise UsageError(
            f"Got the teacher {source.name} with {say(source.num_classes, 'class')} and the "
            f"student {target.name} with {target.num_classes} for {method}, which compares their "
            "logits. Expected the same classes. Try another teacher, or a method that matches maps."
        )
