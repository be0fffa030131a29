"""What methods that learn from a source share: pairs of taps, and what they add to a target.

A method declares, as plain data, the layers that it trains beside the target (regressors, a second
head), what each stage trains, and what starts from the source's weights. Both backends then build,
initialise, optimise, store and compare them like any other layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from poc.shared.errors import UsageError
from poc.shared.shown_names import say
from poc.shared.spec.networks.layers import Parameter, Shape
from poc.shared.spec.networks.network import Network
from poc.shared.spec.training.stages import Stage, plan_stages

Options = TypeVar("Options")


class Pair(NamedTuple):
    """A matched pair of maps: nodes of the source and of the target, and their (H, W, C)."""

    name: str
    source: str
    target: str
    source_shape: Shape
    target_shape: Shape


def target_alone(options: object, target: Network, source: Network, stage: str) -> Network:
    """Nothing is added."""
    return target


def one_stage(options: object, num_epochs: int) -> tuple[Stage, ...]:
    """The whole run."""
    return plan_stages(num_epochs)


def inherit_nothing(options: object, target: Network, source: Network) -> Mapping[str, str]:
    """Everything is drawn."""
    return {}


def no_coefficients(options: object, progress: float) -> Mapping[str, float]:
    """Every weight of the loss is constant."""
    return {}


def compares_nothing(options: object) -> bool:
    """No loss compares logits of the source with logits of the target."""
    return False


def no_parameters(options: object, target: Network, source: Network) -> tuple[Parameter, ...]:
    """Nothing is trained outside the network."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Distillation(Generic[Options]):
    """What a method that learns from a source declares; each takes the method's options first.

    Attributes:
        extend: (options, target, source, stage) -> the network that is trained; refuses wrong
            pairs of networks.
        stages: (options, num_epochs) -> the plan.
        inherit: (options, target, source) -> parameter -> the source's parameter that it starts
            from.
        coefficients: (options, progress) -> numbers of a step, where `progress` runs from 0 to 1
            over the last stage.
        compares_logits: (options) -> whether logits of the source are compared with those of the
            target, column by column, so that both must know the same classes in the same order.
        meta_parameters: (options, target, source) -> what is trained outside any network, by an
            update rule of the method's own.
    """

    extend: Callable[[Options, Network, Network, str], Network] = target_alone
    stages: Callable[[Options, int], tuple[Stage, ...]] = one_stage
    inherit: Callable[[Options, Network, Network], Mapping[str, str]] = inherit_nothing
    coefficients: Callable[[Options, float], Mapping[str, float]] = no_coefficients
    compares_logits: Callable[[Options], bool] = compares_nothing
    meta_parameters: Callable[[Options, Network, Network], tuple[Parameter, ...]] = no_parameters


def find_pairs(
    named: tuple[str, ...], target: Network, source: Network, *, default: str
) -> tuple[Pair, ...]:
    """The pairs of maps that a loss matches.

    Args:
        named: "SOURCE>TARGET" by tap or layer name; none: the default.
        target: The network that is trained.
        source: The network that it learns from.
        default: `middle` (the middle tap of each) or `one_to_one` (as many as the one with fewer
            taps has, counted from the last), of the taps named reduction… where there are some.

    Raises:
        UsageError: No such tap, or one that is no map; names both sides.
    """
    if named:
        return tuple(parse_pair(text, target, source) for text in named)
    sources, targets = default_taps(source), default_taps(target)
    if not sources or not targets:
        raise UsageError(
            f"received no pairs for the source {source.name} with the taps {list(sources)} and the "
            f"target {target.name} with {list(targets)}; name layers: "
            'method_options.pairs=["SOURCE>TARGET"]'
        )
    if default == "middle":
        return (make_pair(sources[len(sources) // 2], targets[len(targets) // 2], target, source),)
    matched = zip(reversed(sources), reversed(targets), strict=False)
    return tuple(make_pair(m, n, target, source) for m, n in matched)[::-1]


def default_taps(network: Network) -> tuple[str, ...]:
    """Its taps before each reduction of the map, where it names some, else all of its taps."""
    return tuple(tap for tap in network.taps if tap.startswith("reduction")) or tuple(network.taps)


def parse_pair(text: str, target: Network, source: Network) -> Pair:
    """The pair of a "SOURCE>TARGET"."""
    first, separator, second = text.partition(">")
    if not separator:
        raise UsageError(
            f"received method_options.pairs with {text!r}; allowed is SOURCE>TARGET, such as "
            f"{next(iter(source.taps), 'layer')}>{next(iter(target.taps), 'layer')}"
        )
    return make_pair(first, second, target, source)


def make_pair(source_tap: str, target_tap: str, target: Network, source: Network) -> Pair:
    """The pair of two taps, both of them maps."""
    nodes: list[str] = []
    shapes: list[Shape] = []
    sides = (("source", source, source_tap), ("target", target, target_tap))
    for side, network, tap in sides:
        try:
            nodes.append(network.node_of(tap))
        except UsageError as error:
            other = target if side == "source" else source
            raise UsageError(f"{side} (the other side is {other.name}): {error}") from None
        shapes.append(network.shape_of(nodes[-1]))
        if len(shapes[-1]) != 3 or nodes[-1] == network.output:
            raise UsageError(
                f"received the pair {source_tap}>{target_tap}, whose {side} {tap!r} of "
                f"{network.name} has shape {shapes[-1]}; allowed is a map (height, width, "
                f"channels): choose among {', '.join(network.taps)}"
            )
    return Pair(f"{source_tap}>{target_tap}", nodes[0], nodes[1], shapes[0], shapes[1])


def check_same_classes(method: str, target: Network, source: Network) -> None:
    """Refuse to compare logits of different classes.

    Raises:
        UsageError: Names both sides.
    """
    if source.num_classes != target.num_classes:
        raise UsageError(
            f"received the source {source.name} with {say(source.num_classes, 'class')} and the "
            f"target {target.name} with {target.num_classes} for {method}, which compares their "
            "logits; allowed are the same classes: use another source, or a method that matches "
            "maps"
        )
