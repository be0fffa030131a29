"""Published names of MobileNetV2, MobileNetV3 and the EfficientNets."""

from collections.abc import Callable, Mapping

from poc.shared.spec.networks.network import Network

from .schemes import LayerNames, Scheme, layers_with_parameters

# Part of a block -> its name below the block's name, in the order expand, depthwise, project.
Parts = Mapping[str, str]

KERAS_MOBILENET_PARTS: Parts = {
    f"{part}_{layer}": f"{part}{suffix}"
    for part in ("expand", "depthwise", "project")
    for layer, suffix in (("conv", ""), ("norm", "_BN"))
}
KERAS_EFFICIENTNET_PARTS: Parts = {
    "expand_conv": "expand_conv",
    "expand_norm": "expand_bn",
    "depthwise_conv": "dwconv",
    "depthwise_norm": "bn",
    "se_reduce": "se_reduce",
    "se_expand": "se_expand",
    "project_conv": "project_conv",
    "project_norm": "project_bn",
}
KERAS_MOBILENET_V3_PARTS: Parts = {
    **{
        f"{part}_{layer}": f"{part}{suffix}"
        for part in ("expand", "depthwise", "project")
        for layer, suffix in (("conv", ""), ("norm", "_bn"))
    },
    "se_reduce": "squeeze_excite_conv",
    "se_expand": "squeeze_excite_conv_1",
}
EFFICIENTNET_PYTORCH_PARTS: Parts = {
    "expand_conv": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "se_reduce": "_se_reduce",
    "se_expand": "_se_expand",
    "project_conv": "_project_conv",
    "project_norm": "_bn2",
}
TIMM_PARTS: Parts = {
    "expand_conv": "conv_pw",
    "expand_norm": "bn1",
    "depthwise_conv": "conv_dw",
    "depthwise_norm": "bn2",
    "se_reduce": "se.conv_reduce",
    "se_expand": "se.conv_expand",
    "project_conv": "conv_pwl",
    "project_norm": "bn3",
}
# timm has a class of its own for blocks without expansion.
TIMM_FIRST_PARTS: Parts = {
    "depthwise_conv": "conv_dw",
    "depthwise_norm": "bn1",
    "se_reduce": "se.conv_reduce",
    "se_expand": "se.conv_expand",
    "project_conv": "conv_pw",
    "project_norm": "bn2",
}


def torchvision_parts(has_squeeze: bool, has_expansion: bool, is_mobilenet: bool) -> Parts:
    """Number the parts of a block as torchvision does; MobileNetV2's last two are not nested."""
    groups = [*(["expand"] if has_expansion else []), "depthwise"]
    parts = {
        f"{group}_{layer}": f"{index}.{position}"
        for index, group in enumerate(groups)
        for position, layer in enumerate(("conv", "norm"))
    }
    last = len(groups)
    if has_squeeze:
        parts |= {"se_reduce": f"{last}.fc1", "se_expand": f"{last}.fc2"}
        last += 1
    if is_mobilenet:
        return parts | {"project_conv": f"{last}", "project_norm": f"{last + 1}"}
    return parts | {"project_conv": f"{last}.0", "project_norm": f"{last}.1"}


def name_layers(
    network: Network, ends: Mapping[str, str], block_layer: Callable[[str, int, str], str]
) -> LayerNames:
    """Take the names of stem, top and head from `ends`, and the others from `block_layer`.

    `block_layer` takes the block's canonical name, its index from 0 and the part.
    """
    blocks: list[str] = []
    names: LayerNames = {}
    for node in layers_with_parameters(network):
        block, _, part = node.name.rpartition("/")
        if node.name in ends:
            names[node.name] = ends[node.name]
            continue
        if block not in blocks:
            blocks.append(block)
        names[node.name] = block_layer(block, len(blocks) - 1, part)
    return names


def has_layer(network: Network, name: str) -> bool:
    """Say if a node of this name exists."""
    return any(node.name == name for node in network.nodes)


def keras_mobilenet(network: Network) -> LayerNames:
    """Name `block_1_expand`, `block_1_expand_BN`, …; the first block is `expanded_conv`."""

    def block_layer(block: str, index: int, part: str) -> str:
        prefix = f"block_{index}" if index else "expanded_conv"
        return f"{prefix}_{KERAS_MOBILENET_PARTS[part]}"

    return name_layers(
        network,
        ends("Conv1", "bn_Conv1", "Conv_1", "Conv_1_bn", "predictions"),
        block_layer,
    )


def torchvision_mobilenet(network: Network) -> LayerNames:
    """Name layers as torchvision's MobileNetV2 does: `features.1.conv.0.0`, …."""
    num_blocks = sum(node.name.endswith("/depthwise_conv") for node in network.nodes)

    def block_layer(block: str, index: int, part: str) -> str:
        has_expansion = has_layer(network, f"{block}/expand_conv")
        parts = torchvision_parts(False, has_expansion, True)
        return f"features.{index + 1}.conv.{parts[part]}"

    return name_layers(network, torchvision_ends(num_blocks + 1), block_layer)


def keras_mobilenet_v3(network: Network) -> LayerNames:
    """Name `expanded_conv_1_expand`, `expanded_conv_1_expand_bn`, …; the first has no number."""

    def block_layer(block: str, index: int, part: str) -> str:
        prefix = f"expanded_conv_{index}" if index else "expanded_conv"
        return f"{prefix}_{KERAS_MOBILENET_V3_PARTS[part]}"

    return name_layers(
        network,
        {**ends("conv", "conv_bn", "conv_1", "conv_1_bn", "logits"), "dense": "conv_2"},
        block_layer,
    )


def torchvision_mobilenet_v3(network: Network) -> LayerNames:
    """Name layers as torchvision's MobileNetV3 does: `features.1.block.0.0`, …."""
    num_blocks = sum(node.name.endswith("/depthwise_conv") for node in network.nodes)

    def block_layer(block: str, index: int, part: str) -> str:
        parts = torchvision_parts(
            has_layer(network, f"{block}/se_reduce"),
            has_layer(network, f"{block}/expand_conv"),
            False,
        )
        return f"features.{index + 1}.block.{parts[part]}"

    dense = {"dense": "classifier.0", "head": "classifier.3"}
    return name_layers(network, torchvision_ends(num_blocks + 1) | dense, block_layer)


def torchvision_efficientnet(network: Network) -> LayerNames:
    """Name layers as torchvision's EfficientNets do: `features.2.0.block.0.0`, …."""

    def block_layer(block: str, index: int, part: str) -> str:
        stage, repeat = stage_and_repeat(block)
        parts = torchvision_parts(
            has_layer(network, f"{block}/se_reduce"),
            has_layer(network, f"{block}/expand_conv"),
            False,
        )
        return f"features.{stage}.{repeat - 1}.block.{parts[part]}"

    # A stem, seven stages, and the top, whatever the variant.
    return name_layers(network, torchvision_ends(8), block_layer)


def torchvision_ends(last: int) -> dict[str, str]:
    """Return the names of stem, top and head in both families."""
    top = f"features.{last}"
    return ends("features.0.0", "features.0.1", f"{top}.0", f"{top}.1", "classifier.1")


def ends(*names: str) -> dict[str, str]:
    """Return the layers of stem, top and head with these names."""
    layers = ("stem/conv", "stem/norm", "top/conv", "top/norm", "head")
    return dict(zip(layers, names, strict=True))


def keras_efficientnet(network: Network) -> LayerNames:
    """Name layers as keras.applications' EfficientNets do: `block2a_expand_conv`, …."""

    def block_layer(block: str, index: int, part: str) -> str:
        stage, repeat = stage_and_repeat(block)
        return f"block{stage}{chr(ord('a') + repeat - 1)}_{KERAS_EFFICIENTNET_PARTS[part]}"

    return name_layers(
        network,
        ends("stem_conv", "stem_bn", "top_conv", "top_bn", "predictions"),
        block_layer,
    )


def efficientnet_pytorch(network: Network) -> LayerNames:
    """Name layers as the package efficientnet_pytorch does: `_blocks.3._depthwise_conv`, …."""
    return name_layers(
        network,
        ends("_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"),
        lambda block, index, part: f"_blocks.{index}.{EFFICIENTNET_PYTORCH_PARTS[part]}",
    )


def timm_efficientnet(network: Network) -> LayerNames:
    """Name layers as timm's (tf_)efficientnet models do: `blocks.1.0.conv_pw`, …."""

    def block_layer(block: str, index: int, part: str) -> str:
        stage, repeat = stage_and_repeat(block)
        has_expansion = has_layer(network, f"{block}/expand_conv")
        parts = TIMM_PARTS if has_expansion else TIMM_FIRST_PARTS
        return f"blocks.{stage - 1}.{repeat - 1}.{parts[part]}"

    return name_layers(
        network,
        ends("conv_stem", "bn1", "conv_head", "bn2", "classifier"),
        block_layer,
    )


def stage_and_repeat(block: str) -> tuple[int, int]:
    """Read stage and repeat of a block's name: `stage2/block1` -> (2, 1)."""
    stage, _, repeat = block.partition("/")
    return int(stage.removeprefix("stage")), int(repeat.removeprefix("block"))


# No lineage: timm gives its models of both lineages the same names.
TIMM = Scheme(name="timm", layout="torch", layers=timm_efficientnet)
# The package pads as TensorFlow does, hence the lineage of Keras.
EFFICIENTNET_PYTORCH = Scheme(
    name="efficientnet_pytorch", layout="torch", layers=efficientnet_pytorch, lineage="keras"
)
MOBILENET_SCHEMES = (
    Scheme(name="keras", layout="keras", layers=keras_mobilenet, lineage="keras"),
    Scheme(name="torchvision", layout="torch", layers=torchvision_mobilenet, lineage="torchvision"),
)
MOBILENET_V3_SCHEMES = (
    Scheme(
        name="torchvision",
        layout="torch",
        layers=torchvision_mobilenet_v3,
        lineage="torchvision",
    ),
    Scheme(
        name="keras",
        layout="keras",
        layers=keras_mobilenet_v3,
        lineage="keras",
        # Its dense layers are 1x1 convolutions.
        shapes={"dense": lambda shape: (1, 1, *shape)},
    ),
)
EFFICIENTNET_SCHEMES = (
    Scheme(
        name="keras",
        layout="keras",
        layers=keras_efficientnet,
        lineage="keras",
        has_statistics=True,
    ),
    Scheme(
        name="torchvision", layout="torch", layers=torchvision_efficientnet, lineage="torchvision"
    ),
    TIMM,
    EFFICIENTNET_PYTORCH,
)
LITE_SCHEMES = (
    EFFICIENTNET_PYTORCH,
    TIMM,
)
