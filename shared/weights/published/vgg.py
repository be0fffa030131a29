"""Published names of VGG16 and VGG16-BN."""

from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.network import Network

from .schemes import LayerNames, Scheme, layers_with_parameters


def torchvision_vgg(network: Network) -> LayerNames:
    """Name `features.N`, where N counts ReLUs and pools too, and `classifier.0`, `.3`, `.6`."""
    names: LayerNames = {}
    index = 0
    for node in network.nodes:
        if node.name.startswith("stage"):
            if node.parameters:
                names[node.name] = f"features.{index}"
            is_two_modules = isinstance(node.layer, Conv2D) and node.layer.activation is not None
            index += 2 if is_two_modules else 1
    has_dense = "dense1" in {node.name for node in network.nodes}
    head = {"dense1": "classifier.0", "dense2": "classifier.3", "head": "classifier.6"}
    return names | (head if has_dense else {"head": "classifier"})


def keras_vgg(network: Network) -> LayerNames:
    """Name `block1_conv1`, …, `fc1`, `fc2`, `predictions`; Keras has no VGG with batch norm."""
    head = {"dense1": "fc1", "dense2": "fc2", "head": "predictions"}
    return {
        node.name: head.get(node.name) or node.name.replace("stage", "block", 1).replace("/", "_")
        for node in layers_with_parameters(network)
    }


TORCHVISION = Scheme(name="torchvision", layout="torch", layers=torchvision_vgg)
VGG16_SCHEMES = (TORCHVISION, Scheme(name="keras", layout="keras", layers=keras_vgg))
VGG16_BN_SCHEMES = (TORCHVISION,)
