"""Published names of ConvNeXt: torchvision, timm, its own code, transformers, Keras."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.network import Network

from .schemes import LayerNames, Scheme, layers_with_parameters

BLOCK = re.compile(r"stage(\d)/block(\d+)/(\w+)")
REDUCTION = re.compile(r"stage(\d)/downsample/(norm|conv)")
# Names of stem, top and head; of a layer of a block, and of one before a stage, with the numbers of
# stage and block from 0, and the stage's reduction counted in torchvision's list of features.
Names = Mapping[str, str]

TORCHVISION: Names = {
    "stem/conv": "features.0.0",
    "stem/norm": "features.0.1",
    "norm": "classifier.0",
    "head": "classifier.2",
    "block": "features.{odd}.{block}.",
    "reduction": "features.{even}.",
    "depthwise_conv": "block.0",
    "block/norm": "block.2",
    "expand_conv": "block.3",
    "project_conv": "block.5",
    "layer_scale": "layer_scale",
}
TIMM: Names = {
    "stem/conv": "stem.0",
    "stem/norm": "stem.1",
    "norm": "head.norm",
    "head": "head.fc",
    "block": "stages.{stage}.blocks.{block}.",
    "reduction": "stages.{stage}.downsample.",
    "depthwise_conv": "conv_dw",
    "block/norm": "norm",
    "expand_conv": "mlp.fc1",
    "project_conv": "mlp.fc2",
    "layer_scale": "gamma",
}
OWN: Names = {
    "stem/conv": "downsample_layers.0.0",
    "stem/norm": "downsample_layers.0.1",
    "norm": "norm",
    "head": "head",
    "block": "stages.{stage}.{block}.",
    "reduction": "downsample_layers.{stage}.",
    "depthwise_conv": "dwconv",
    "block/norm": "norm",
    "expand_conv": "pwconv1",
    "project_conv": "pwconv2",
    "layer_scale": "gamma",
}
TRANSFORMERS: Names = {
    "stem/conv": "convnext.embeddings.patch_embeddings",
    "stem/norm": "convnext.embeddings.layernorm",
    "norm": "convnext.layernorm",
    "head": "classifier",
    "block": "convnext.encoder.stages.{stage}.layers.{block}.",
    "reduction": "convnext.encoder.stages.{stage}.downsampling_layer.",
    "depthwise_conv": "dwconv",
    "block/norm": "layernorm",
    "expand_conv": "pwconv1",
    "project_conv": "pwconv2",
    "layer_scale": "layer_scale_parameter",
}
KERAS: Names = {
    "stem/conv": "{model}_stem_conv",
    "stem/norm": "{model}_stem_layernorm",
    "norm": "{model}_head_layernorm",
    "head": "{model}_head_dense",
    "block": "{model}_stage_{stage}_block_{block}_",
    "norm of reduction": "{model}_downsampling_layernorm_{before}",
    "conv of reduction": "{model}_downsampling_conv_{before}",
    "depthwise_conv": "depthwise_conv",
    "block/norm": "layernorm",
    "expand_conv": "pointwise_conv_1",
    "project_conv": "pointwise_conv_2",
    "layer_scale": "layer_scale",
}


def name_layers(names: Names, network: Network) -> LayerNames:
    """Name every layer with parameters of a ConvNeXt."""
    return {
        node.name: name_layer(names, network.name, node.name)
        for node in layers_with_parameters(network)
    }


def name_layer(names: Names, model: str, node: str) -> str:
    """Return the published name of one layer."""
    if found := BLOCK.fullmatch(node):
        stage, block = int(found[1]) - 1, int(found[2]) - 1
        part = "block/norm" if found[3] == "norm" else found[3]
        prefix = names["block"].format(model=model, stage=stage, block=block, odd=2 * stage + 1)
        return f"{prefix}{names[part]}"
    if found := REDUCTION.fullmatch(node):
        stage, part = int(found[1]) - 1, found[2]
        if f"{part} of reduction" in names:
            return names[f"{part} of reduction"].format(model=model, before=stage - 1)
        prefix = names["reduction"].format(stage=stage, even=2 * stage)
        return f"{prefix}{0 if part == 'norm' else 1}"
    return names[node].format(model=model)


def grouped(shape: Shape) -> Shape:
    """Return (7, 7, 1, C) for (7, 7, C, 1): Keras' ConvNeXt has grouped convolutions."""
    return (*shape[:2], shape[3], shape[2])


def scheme(name: str, names: Names) -> Scheme:
    """Return a scheme of PyTorch's layout; factors have the layer's name."""
    layers = partial(name_layers, names)
    return Scheme(name=name, layout="torch", layers=layers, suffixes={"layer_scale/gamma": ""})


SCHEMES = (
    Scheme(
        name="torchvision",
        layout="torch",
        layers=partial(name_layers, TORCHVISION),
        suffixes={"layer_scale/gamma": ""},
        shapes={"layer_scale": lambda shape: (*shape, 1, 1)},
    ),
    replace(scheme("timm", TIMM), may_lack_head=True),
    scheme("convnext", OWN),
    replace(
        scheme("transformers", TRANSFORMERS),
        body=lambda network: "convnext.",
        may_lack_head=True,
    ),
    Scheme(
        name="keras",
        layout="keras",
        layers=partial(name_layers, KERAS),
        suffixes={"layer_scale/gamma": "variable"},
        shapes={"depthwise_conv2d": grouped},
        is_nested=True,
    ),
)
