"""Folding for export: batch norms into convolutions, and shortcuts into the blocks they cross.

It is done once, in NumPy, on canonical weights; both backends then build the folded network like
any other. All arithmetic is float64. A fold that would not be exact is left undone, and that batch
norm stays. A shortcut folds if it is a 1x1 convolution.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Array
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers.convolution import Conv2D, DepthwiseConv2D
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import BatchNorm
from poc.shared.spec.networks.layers.merging import Add, Concatenate
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.lowering import inner_factors, lower
from poc.shared.spec.networks.network import Network
from poc.shared.spec.networks.nodes import Node

from .merging import merge_lora

Vector = NDArray[np.float64]
NO_PADS = ((0, 0), (0, 0))


def fold(
    network: Network, weights: Mapping[str, Array], *, merges_shortcuts: bool = False
) -> tuple[Network, Weights]:
    """Return the network of evaluation with everything folded that folds exactly, and its weights.

    Args:
        network: The network as it was trained; terms of LoRA are merged.
        weights: Canonical `Weights`; tensors of other networks are ignored.
        merges_shortcuts: Write `conv(a) + conv1x1(b)` as one convolution of both, with the 1x1
            kernel at the position that reads its pixel and zeros elsewhere.

    Returns:
        Network without the batch norms that folded; float32 `Weights` under its own names.
    """
    graph = Graph(network, weights)
    for name in graph.names_of(BatchNorm):
        # Backward first: it is always exact, while forward needs a layer that does not pad.
        fold_backward(graph, name) or fold_forward(graph, name)
    if merges_shortcuts:
        for name in graph.names_of(Add):
            merge_shortcut(graph, name)
    return graph.build()


class Graph:
    """Lowered network that is being changed: nodes in the order of computation, and weights."""

    def __init__(self, network: Network, weights: Mapping[str, Array]) -> None:
        network, weights = merge_lora(network, weights)
        lowered, factors = lower(network), inner_factors(network)
        self._name, self._input_shape = network.name, network.input_shape
        self.nodes: dict[str, Node] = {node.name: node for node in lowered.nodes}
        self.weights: dict[str, NDArray[np.float64]] = {
            parameter.name: np.asarray(weights[parameter.name], np.float64)
            * factors.get(parameter.name, 1.0)
            for parameter in lowered.parameters
        }

    def names_of(self, kind: type) -> list[str]:
        """Return the names of the nodes of one kind of layer, as a list that survives changes."""
        return [name for name, node in self.nodes.items() if isinstance(node.layer, kind)]

    def only_user(self, name: str) -> Node | None:
        """Return the only node that reads a value, or None if there are several or none."""
        users = [node for node in self.nodes.values() if name in node.inputs]
        return users[0] if len(users) == 1 else None

    def remove(self, name: str, stands_for: str) -> None:
        """Take a node out; its readers then read `stands_for`."""
        del self.nodes[name]
        for user, node in list(self.nodes.items()):
            inputs = tuple(stands_for if source == name else source for source in node.inputs)
            self.nodes[user] = replace(node, inputs=inputs)

    def affine_of(self, name: str) -> tuple[Vector, Vector]:
        """Return (scale, shift) of a batch norm in evaluation, each (C,) float64."""
        node, own = self.nodes[name], self.weights
        epsilon = node.layer.epsilon if isinstance(node.layer, BatchNorm) else 0.0
        mean, variance = own[f"{name}/moving_mean"], own[f"{name}/moving_variance"]
        scale = own.get(f"{name}/gamma", np.ones_like(mean)) / np.sqrt(variance + epsilon)
        return scale, own.get(f"{name}/beta", np.zeros_like(mean)) - mean * scale

    def set_affine(self, name: str, kernel: NDArray[np.float64], bias: Vector) -> None:
        """Set a layer's kernel (…, F) and bias (F,); the layer has a bias from now on."""
        node = self.nodes[name]
        if isinstance(node.layer, Conv2D | DepthwiseConv2D | Dense):
            self.nodes[name] = replace(node, layer=replace(node.layer, use_bias=True))
        self.weights |= {f"{name}/kernel": kernel, f"{name}/bias": bias}

    def bias_of(self, name: str) -> Vector | float:
        """Return the bias (F,) of a node, or 0 if it has none."""
        return self.weights.get(f"{name}/bias", 0.0)

    def build(self) -> tuple[Network, Weights]:
        """Return the finished network and its float32 `Weights`, in their new shapes."""
        net = NetworkBuilder(self._name, self._input_shape)
        for node in self.nodes.values():
            net.add(node.name, node.layer, *node.inputs)
        network = net.build()
        return network, {
            p.name: self.weights[p.name].astype(np.float32) for p in network.parameters
        }


def fold_backward(graph: Graph, name: str) -> bool:
    """Fold a batch norm into the layer before it; return False if that is not possible."""
    source = graph.nodes[name].inputs[0]
    node = graph.nodes.get(source)
    if node is None or graph.only_user(source) is None:
        return False
    if not isinstance(node.layer, Conv2D | DepthwiseConv2D | Dense) or node.layer.activation:
        return False
    scale, shift = graph.affine_of(name)
    kernel, bias = graph.weights[f"{source}/kernel"], graph.bias_of(source)
    # A depthwise kernel is (kh, kw, C, 1): its outputs are on the third axis.
    per_output = scale[:, None] if isinstance(node.layer, DepthwiseConv2D) else scale
    graph.set_affine(source, kernel * per_output, bias * scale + shift)
    graph.remove(name, stands_for=source)
    return True


def fold_forward(graph: Graph, name: str) -> bool:
    """Fold a batch norm into the layer after it, through pools; return False if not possible.

    A convolution must not pad, since the folded one would normalise the padded zeros too. A maximum
    stays the same element only if no scale is negative.
    """
    scale, shift = graph.affine_of(name)
    user = graph.only_user(name)
    while user is not None and passes_affine(user, is_increasing=bool((scale >= 0).all())):
        user = graph.only_user(user.name)
    if user is None or not takes_affine(user):
        return False
    kernel = graph.weights[f"{user.name}/kernel"]
    # A constant shift of the input adds the sum over the window to the output.
    window_sum = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)
    is_depthwise = isinstance(user.layer, DepthwiseConv2D)
    more = shift * window_sum[:, 0] if is_depthwise else shift @ window_sum
    bias = graph.bias_of(user.name) + more
    graph.set_affine(user.name, kernel * scale[:, None], bias)
    graph.remove(name, stands_for=graph.nodes[name].inputs[0])
    return True


def passes_affine(node: Node, *, is_increasing: bool) -> bool:
    """Say if scaling and shifting channels before this pool is the same as after it."""
    if isinstance(node.layer, Pool2D) and node.layer.pads(node.input_shapes[0]) == NO_PADS:
        return is_increasing or node.layer.mode == "average"
    return isinstance(node.layer, GlobalPool) and (is_increasing or node.layer.mode == "average")


def takes_affine(node: Node) -> bool:
    """Say if a scale and a shift of each input channel fold into this layer."""
    layer = node.layer
    if isinstance(layer, Dense):
        return True
    if isinstance(layer, Conv2D) and layer.groups != 1:
        return False
    return (
        isinstance(layer, Conv2D | DepthwiseConv2D) and layer.pads(node.input_shapes[0]) == NO_PADS
    )


def merge_shortcut(graph: Graph, name: str) -> bool:
    """Write a sum of two convolutions as one of their joined inputs; return False if impossible."""
    sources = graph.nodes[name].inputs
    nodes = [graph.nodes.get(source) for source in sources]
    if len(nodes) != 2 or nodes[0] is None or nodes[1] is None or nodes[0] is nodes[1]:
        return False
    main, shortcut = sorted((node for node in nodes if node), key=window_size, reverse=True)
    if not are_mergeable(graph, main, shortcut) or not isinstance(main.layer, Conv2D):
        return False
    (top, _), (left, _) = main.layer.pads(main.input_shapes[0])
    kernel, small = (graph.weights[f"{node.name}/kernel"] for node in (main, shortcut))
    widened = np.zeros((*kernel.shape[:2], *small.shape[2:]))
    # The first output reads pixel (0, 0) at the window's position (top, left).
    widened[top, left] = small[0, 0]
    joined = replace(
        graph.nodes[name],
        name=f"{name}/inputs",
        layer=Concatenate(),
        inputs=(main.inputs[0], shortcut.inputs[0]),
    )
    merged = replace(graph.nodes[name], layer=main.layer, inputs=(joined.name,))
    graph.nodes = {
        new.name: new
        for node in graph.nodes.values()
        if node.name not in sources
        for new in ((joined, merged) if node.name == name else (node,))
    }
    biases = graph.bias_of(main.name) + graph.bias_of(shortcut.name)
    bias = np.broadcast_to(biases, kernel.shape[-1:])
    graph.set_affine(name, np.concatenate([kernel, widened], axis=2), bias)
    return True


def window_size(node: Node) -> int:
    """Return the number of positions in a convolution's window, and 0 for any other layer."""
    if not isinstance(node.layer, Conv2D):
        return 0
    return node.layer.kernel_size[0] * node.layer.kernel_size[1]


def are_mergeable(graph: Graph, main: Node, shortcut: Node) -> bool:
    """Say if two convolutions step over maps of one size together, the second being 1x1."""
    first, second = main.layer, shortcut.layer
    if not isinstance(first, Conv2D) or not isinstance(second, Conv2D):
        return False
    pads = first.pads(main.input_shapes[0])
    return (
        all(graph.only_user(node.name) for node in (main, shortcut))
        and not first.activation
        and not second.activation
        and first.groups == second.groups == 1
        and first.strides == second.strides
        and main.input_shapes[0][:2] == shortcut.input_shapes[0][:2]
        and second.kernel_size == (1, 1)
        and second.pads(shortcut.input_shapes[0]) == NO_PADS
        # Otherwise no position of the larger window reads the shortcut's pixel.
        and pads[0][0] < first.kernel_size[0]
        and pads[1][0] < first.kernel_size[1]
    )
