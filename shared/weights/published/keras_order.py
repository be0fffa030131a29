"""Order of the layers in a functional Keras model, and the names that follow from it.

Keras sorts layers by their depth, which is the longest way to the output, and layers of one depth
by a walk back from the output. Its `.weights.h5` numbers the layers of each class in that order.
Its older `.h5`, read without `by_name`, has them in that order too.
"""

from collections.abc import Iterator, Mapping, Sequence

from poc.shared.spec.networks.network import Network, Node

from .schemes import Scheme

# Kind of a layer -> the name of its class in Keras files.
CLASSES = {
    "conv2d": "conv2d",
    "depthwise_conv2d": "depthwise_conv2d",
    "batch_norm": "batch_normalization",
    "dense": "dense",
}


def keras_order(network: Network, scheme: Scheme) -> list[Node]:
    """Return the nodes with parameters in the order of Keras' model of the same graph."""
    nodes = {node.name: node for node in network.nodes}
    inputs = {
        node.name: node.inputs[::-1] if scheme.adds_shortcut_first else node.inputs
        for node in network.nodes
    }
    depths = dict.fromkeys(nodes, 0)
    for node in reversed(network.nodes):
        for name in node.inputs:
            if name in nodes:
                depths[name] = max(depths[name], depths[node.name] + 1)
    visits = {name: place for place, name in enumerate(walk_back(network.output, inputs))}
    found = [nodes[name] for name in visits if nodes[name].parameters]
    return sorted(found, key=lambda node: (-depths[node.name], visits[node.name]))


def walk_back(output: str, inputs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield names from the output to the images, each once: a node, then its inputs in turn."""
    seen, waiting = set(), [output]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in inputs:
            continue
        seen.add(name)
        yield name
        # Reversed, because the last name of the stack is visited first.
        waiting.extend(reversed(inputs[name]))


def numbered_names(network: Network, scheme: Scheme) -> dict[str, str]:
    """Return canonical name -> `layers/CLASS_N/LAYER/vars/M`, as Keras 3 stores a model.

    LAYER is the layer's own name, which the file stores with the group.
    """
    layers, counts = scheme.layers(network), dict.fromkeys(CLASSES.values(), 0)
    names: dict[str, str] = {}
    for node in keras_order(network, scheme):
        # A layer whose kernel has another shape there is a convolution there.
        kind = CLASSES["conv2d" if node.layer.kind in scheme.shapes else node.layer.kind]
        group = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        for index, parameter in enumerate(node.parameters):
            names[parameter.name] = f"layers/{group}/{layers[node.name]}/vars/{index}"
    return names
