"""Published names of keras.applications' InceptionV3 and Inception-ResNet v2.

Most of their layers have no name of their own: Keras numbers them, `conv2d`, `conv2d_1`, …, in the
order in which they are made. A second model in the same process goes on counting.
"""

from poc.shared.spec.networks.network import Network

from .schemes import DOTTED, LayerNames, Scheme, layers_with_parameters

ENDS = {"last": "conv_7b", "last_norm": "conv_7b_bn", "head": "predictions"}
NUMBERED = {"conv2d": "conv2d", "batch_norm": "batch_normalization"}


def keras_inception(network: Network) -> LayerNames:
    """Number the layers from 0 in the order of the declaration, which is the order of Keras."""
    counts = dict.fromkeys(NUMBERED.values(), 0)
    names: LayerNames = {}
    for node in layers_with_parameters(network):
        if node.name in ENDS or node.name.endswith("/expand"):
            names[node.name] = ENDS.get(node.name) or node.name.replace("/expand", "_conv")
            continue
        base = NUMBERED[node.layer.kind]
        # Keras writes no number for the first layer of a kind.
        names[node.name] = f"{base}_{counts[base]}" if counts[base] else base
        counts[base] += 1
    return names


SCHEMES = (
    DOTTED,
    Scheme(
        name="keras",
        layout="keras",
        layers=keras_inception,
        numbered=tuple(NUMBERED.values()),
    ),
)
