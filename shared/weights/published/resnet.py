"""Published names of ResNets.

Those of keras.applications are `conv2_block1_1_conv`, `conv2_block1_1_bn`, …; torchvision's are the
canonical ones with dots. The CIFAR ResNet of L2T-ww has `block1`, `blocks2.0`, …, `blocks6.3`.
"""

import re

from poc.shared.spec.networks.network import Network

from .schemes import DOTTED, LayerNames, Scheme, layers_with_parameters

ENDS = {"conv1": "conv1_conv", "bn1": "conv1_bn", "fc": "predictions"}
PREACTIVATION_ENDS = {"conv1": "conv1_conv", "norm": "post_bn", "head": "predictions"}
BLOCK = re.compile(r"layer(\d+)/(\d+)/(?:(conv|bn)(\d)|downsample/([01]))")
PREACTIVATION_BLOCK = re.compile(r"stage(\d+)/block(\d+)/(?:(conv|norm)(\d)|(shortcut))")


def keras_resnet(network: Network) -> LayerNames:
    """Count stages from 2 and blocks from 1; the projection is number 0."""

    def block_layer(name: str) -> str:
        stage, block, kind, number, projection = match(BLOCK, name)
        suffix = f"{number}_{kind}" if kind else f"0_{'conv' if projection == '0' else 'bn'}"
        return f"conv{int(stage) + 1}_block{int(block) + 1}_{suffix}"

    return {
        node.name: ENDS.get(node.name) or block_layer(node.name)
        for node in layers_with_parameters(network)
    }


def keras_resnet_preactivation(network: Network) -> LayerNames:
    """Name the layers of ResNet v2, whose blocks begin with a batch norm."""

    def block_layer(name: str) -> str:
        stage, block, kind, number, _ = match(PREACTIVATION_BLOCK, name)
        suffix = {None: "0_conv", "conv": f"{number}_conv", "norm": f"{number}_bn"}[kind]
        suffix = "preact_bn" if suffix == "0_bn" else suffix
        return f"conv{int(stage) + 1}_block{block}_{suffix}"

    return {
        node.name: PREACTIVATION_ENDS.get(node.name) or block_layer(node.name)
        for node in layers_with_parameters(network)
    }


def match(pattern: re.Pattern[str], name: str) -> tuple[str, ...]:
    """Return the groups of a name that follows the pattern.

    Raises:
        ValueError: The name does not follow it.
    """
    found = pattern.fullmatch(name)
    if found is None:
        raise ValueError(f"Got the layer {name!r}. Expected a name like {pattern.pattern!r}.")
    return found.groups()


KERAS = Scheme(
    name="keras",
    layout="keras",
    layers=keras_resnet,
    lineage="keras",
    adds_shortcut_first=True,
)
SCHEMES = (DOTTED, KERAS)
PREACTIVATION_SCHEMES = (
    DOTTED,
    Scheme(
        name="keras",
        layout="keras",
        layers=keras_resnet_preactivation,
        adds_shortcut_first=True,
    ),
)

CIFAR_PARTS = {
    "conv1": "conv1",
    "norm1": "bn1",
    "conv2": "conv2",
    "norm2": "bn2",
    "shortcut_conv": "downsample.0",
    "shortcut_norm": "downsample.1",
}
CIFAR_ENDS = {"stem/conv": "conv1", "stem/norm": "bn1", "head": "fc"}


def l2t_ww(network: Network) -> LayerNames:
    """Name the layers: the first block of a stage has a name, the others are a list.

    Layers that the published network does not have, such as the last norm of a pre-activated one,
    get no name.
    """
    named = {}
    for node in layers_with_parameters(network):
        parts = node.name.split("/")
        if node.name in CIFAR_ENDS:
            named[node.name] = CIFAR_ENDS[node.name]
        elif len(parts) == len(("stage", "block", "part")):
            named[node.name] = cifar_layer(*parts)
    return named


def cifar_layer(stage: str, block: str, part: str) -> str:
    """Name one layer of a block: `stage2`, `block3`, `norm1` -> `blocks4.1.bn1`."""
    number, index = int(stage.removeprefix("stage")), int(block.removeprefix("block"))
    owner = f"block{2 * number - 1}" if index == 1 else f"blocks{2 * number}.{index - 2}"
    return f"{owner}.{CIFAR_PARTS[part]}"


CIFAR_SCHEMES = (Scheme(name="l2t_ww", layout="torch", layers=l2t_ww),)
