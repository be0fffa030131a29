"""Lowering: a network for evaluation alone, of plain convolutions and dense layers.

Compound layers become the layers that they consist of. Their parameters keep their canonical names,
so a trained network's weights fit the lowered one.
"""

from collections.abc import Mapping

from .builder import NetworkBuilder
from .layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from .layers.declaration import Layer
from .layers.dense import Dense
from .layers.elementwise import Dropout
from .layers.light import LightConv2D, LightDense
from .layers.residual import StochasticDepth
from .network import IMAGES, Network
from .nodes import Node


def lower(network: Network) -> Network:
    """Lower a network: the same logits from convolutions, depthwise convolutions and dense layers.

    Auxiliary heads and layers without effect in evaluation are left out. The factor of a LightDense
    is not in the result: multiply its `reduce/kernel` by `inner_factors`.
    """
    net = NetworkBuilder(network.name, network.input_shape)
    stands_for: dict[str, str] = {IMAGES: IMAGES}
    for node in network.needed([network.output]):
        sources = [stands_for[name] for name in node.inputs]
        if is_identity(node.layer):
            stands_for[node.name] = sources[0]
            continue
        for name, layer in parts(node).items():
            sources = [net.add(name, layer, *sources)]
        stands_for[node.name] = sources[0]
    return net.build()


def is_identity(layer: Layer) -> bool:
    """Return whether the layer returns its input in evaluation."""
    if isinstance(layer, StochasticDepth):
        return layer.evaluation_factor == 1
    return isinstance(layer, Dropout)


def parts(node: Node) -> Mapping[str, Layer]:
    """Return the plain layers of a node by canonical name, in the order of computation."""
    layer, name = node.layer, node.name
    if isinstance(layer, LightConv2D):
        reduce, expand = layer.convolutions()
        return {f"{name}/reduce": reduce, f"{name}/expand": expand}
    if isinstance(layer, LightDense):
        return {
            f"{name}/reduce": Dense(units=layer.rank, use_bias=False),
            f"{name}/expand": Dense(units=layer.units, activation=layer.activation),
        }
    if isinstance(layer, SeparableConv2D):
        depthwise = DepthwiseConv2D(
            kernel_size=layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            use_bias=False,
        )
        pointwise = Conv2D(filters=layer.filters, kernel_size=(1, 1), activation=layer.activation)
        return {f"{name}/depthwise": depthwise, f"{name}/pointwise": pointwise}
    return {name: layer}


def inner_factors(network: Network) -> Mapping[str, float]:
    """Return the constants other than 1 by which a lowered network's parameters are multiplied."""
    return {
        f"{node.name}/reduce/kernel": node.layer.factor**2
        for node in network.nodes
        if isinstance(node.layer, LightDense) and node.layer.factor != 1
    }
