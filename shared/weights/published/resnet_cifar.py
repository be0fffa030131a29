"""Published names of the CIFAR ResNet of L2T-ww: `block1`, `blocks2.0`, …, `blocks6.3`."""

from poc.shared.spec.networks.network import Network

from .schemes import LayerNames, Scheme, layers_with_parameters

PARTS = {
    "conv1": "conv1",
    "norm1": "bn1",
    "conv2": "conv2",
    "norm2": "bn2",
    "shortcut_conv": "downsample.0",
    "shortcut_norm": "downsample.1",
}
ENDS = {"stem/conv": "conv1", "stem/norm": "bn1", "head": "fc"}


def l2t_ww(network: Network) -> LayerNames:
    """Name the layers: the first block of a stage has a name, the others are a list.

    Layers that the published network does not have, such as the last norm of a pre-activated one,
    get no name.
    """
    named = {}
    for node in layers_with_parameters(network):
        parts = node.name.split("/")
        if node.name in ENDS:
            named[node.name] = ENDS[node.name]
        elif len(parts) == len(("stage", "block", "part")):
            named[node.name] = block_layer(*parts)
    return named


def block_layer(stage: str, block: str, part: str) -> str:
    """Name one layer of a block: `stage2`, `block3`, `norm1` -> `blocks4.1.bn1`."""
    number, index = int(stage.removeprefix("stage")), int(block.removeprefix("block"))
    owner = f"block{2 * number - 1}" if index == 1 else f"blocks{2 * number}.{index - 2}"
    return f"{owner}.{PARTS[part]}"


SCHEMES = (Scheme(name="l2t_ww", layout="torch", layers=l2t_ww),)
