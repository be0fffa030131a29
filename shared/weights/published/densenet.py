"""Published names of DenseNet-121: torchvision's, those of its older files, and Keras'."""

from collections.abc import Mapping

from poc.shared.spec.networks.network import Network

from .schemes import LayerNames, Scheme, layers_with_parameters

TORCHVISION_ENDS: Mapping[str, str] = {
    "stem/conv": "features.conv0",
    "stem/norm": "features.norm0",
    "norm": "features.norm5",
    "head": "classifier",
}
KERAS_ENDS: Mapping[str, str] = {
    "stem/conv": "conv1_conv",
    "stem/norm": "conv1_bn",
    "norm": "bn",
    "head": "predictions",
}
# Keras counts the norms of a layer from 0, and its convolutions from 1.
KERAS_PARTS: Mapping[str, str] = {
    "norm1": "0_bn",
    "conv1": "1_conv",
    "norm2": "1_bn",
    "conv2": "2_conv",
}


def torchvision_densenet(network: Network) -> LayerNames:
    """Name `features.denseblock1.denselayer1.norm1`, `features.transition1.conv`, …."""

    def inner(name: str) -> str:
        name = name.replace("stage", "denseblock").replace("layer", "denselayer")
        return "features." + name.replace("/", ".")

    return {
        node.name: TORCHVISION_ENDS.get(node.name) or inner(node.name)
        for node in layers_with_parameters(network)
    }


def former_torchvision_densenet(network: Network) -> LayerNames:
    """Name `…denselayer1.norm.1`, as the files that torchvision downloads do."""
    return {
        name: f"{published[:-1]}.{published[-1]}" if "/layer" in name else published
        for name, published in torchvision_densenet(network).items()
    }


def keras_densenet(network: Network) -> LayerNames:
    """Name `conv2_block1_0_bn`, …, `pool2_conv`, …: the stem is stage 1."""

    def inner(name: str) -> str:
        place, *rest = name.split("/")
        number = int(place[-1]) + 1
        if place.startswith("transition"):
            return f"pool{number}_{'bn' if rest[0] == 'norm' else 'conv'}"
        return f"conv{number}_block{rest[0].removeprefix('layer')}_{KERAS_PARTS[rest[1]]}"

    return {
        node.name: KERAS_ENDS.get(node.name) or inner(node.name)
        for node in layers_with_parameters(network)
    }


SCHEMES = (
    Scheme(name="torchvision", layout="torch", layers=torchvision_densenet, lineage="torchvision"),
    Scheme(
        name="torchvision_former",
        layout="torch",
        layers=former_torchvision_densenet,
        lineage="torchvision",
    ),
    Scheme(name="keras", layout="keras", layers=keras_densenet, lineage="keras"),
)
