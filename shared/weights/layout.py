"""Layouts of published tensors: their axes and shapes, and the canonical ones.

Canonical kernels are HWIO, dense ones (in, out) after an (H, W, C) flatten. PyTorch files hold
OIHW, depthwise (C, 1, H, W), dense (out, in) after a (C, H, W) flatten. Keras' layouts are the
canonical ones.
"""

import numpy as np

from poc.shared.files.arrays import Array
from poc.shared.spec.networks.layers.attention import SelfAttention
from poc.shared.spec.networks.layers.convolution import DepthwiseConv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense, Flatten
from poc.shared.spec.networks.layers.tokens import LearnedTokens, PositionEmbedding
from poc.shared.spec.networks.network import Network, Node

from .published.schemes import Scheme

# Axes of a PyTorch kernel in canonical order: HWIO out of OIHW, HWC1 out of C1HW.
TORCH_CONV, TORCH_DEPTHWISE = (2, 3, 1, 0), (2, 3, 0, 1)
# Layers whose kernels are matrices, and those of learned vectors, which have an axis for the batch.
MATRICES, TABLES = (Dense, SelfAttention), (LearnedTokens, PositionEmbedding)


def arrange(network: Network, node: Node, value: Array, shape: Shape, scheme: Scheme) -> Array:
    """Return a published tensor in canonical layout, with the canonical `shape`.

    Of PyTorch's kernels, dense ones (F, C) become (C, F), convolutions (F, C, kh, kw) become
    (kh, kw, C, F), and depthwise ones (C, 1, kh, kw) become (kh, kw, C, 1).
    """
    value = value.reshape(layout_shape(network, node, shape, scheme))
    # Vectors have one layout everywhere.
    if scheme.layout == "keras" or value.ndim < 2:
        return value
    if isinstance(node.layer, TABLES):
        return value.reshape(shape)
    if isinstance(node.layer, MATRICES):
        if flat := flattened_shape(network, node):
            # The inputs are in the order of a (C, H, W) flatten; here maps are flattened as
            # (H, W, C).
            height, width, channels = flat
            value = value.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return value.reshape(len(value), -1).T.reshape(shape)
    return value.transpose(kernel_axes(node))


def arrange_back(network: Network, node: Node, value: Array, scheme: Scheme) -> Array:
    """Return a canonical tensor, such as (kh, kw, C, F), as a contiguous published one."""
    shape = published_shape(network, node, value.shape, scheme)
    return lay_out(network, node, value, scheme).reshape(shape)


def lay_out(network: Network, node: Node, value: Array, scheme: Scheme) -> Array:
    """Return a canonical tensor, such as (kh, kw, C, F), in the framework's layout."""
    if scheme.layout == "keras" or value.ndim < 2:
        return np.asarray(value)
    if isinstance(node.layer, TABLES):
        return np.asarray(value)[None]
    if isinstance(node.layer, MATRICES):
        if flat := flattened_shape(network, node):
            value = value.reshape(*flat, -1).transpose(2, 0, 1, 3).reshape(value.shape)
        return np.ascontiguousarray(value.T)
    return np.ascontiguousarray(value.transpose(np.argsort(kernel_axes(node))))


def published_shape(network: Network, node: Node, shape: Shape, scheme: Scheme) -> Shape:
    """Return the published shape of a tensor with the canonical `shape`."""
    shape = layout_shape(network, node, shape, scheme)
    is_vector = len(shape) == 1 and node.layer.kind != "layer_scale"
    own = None if is_vector else scheme.shapes.get(node.layer.kind)
    return own(shape) if own else shape


def layout_shape(network: Network, node: Node, shape: Shape, scheme: Scheme) -> Shape:
    """Return the shape that a framework's layers give to a tensor with the canonical `shape`."""
    if scheme.layout == "keras" or len(shape) < 2:
        return shape
    if isinstance(node.layer, TABLES):
        return (1, *shape)
    if isinstance(node.layer, MATRICES):
        return shape[::-1]
    return tuple(shape[axis] for axis in np.argsort(kernel_axes(node)))


def kernel_axes(node: Node) -> tuple[int, ...]:
    """Return the axes of a PyTorch convolution kernel in canonical order."""
    return TORCH_DEPTHWISE if isinstance(node.layer, DepthwiseConv2D) else TORCH_CONV


def flattened_shape(network: Network, node: Node) -> Shape | None:
    """Return (H, W, C) of the map that was flattened for a dense layer, or None."""
    source = next((other for other in network.nodes if other.name == node.inputs[0]), None)
    if source is None or not isinstance(source.layer, Flatten):
        return None
    return source.input_shapes[0]
