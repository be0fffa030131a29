"""Distributions of initial weights that a framework's layers have without arguments."""

import math

from poc.shared.spec.networks.layers.convolution import (
    Conv2D,
    DepthwiseConv2D,
    PointwiseConv2D,
    SeparableConv2D,
)
from poc.shared.spec.networks.layers.declaration import (
    ZEROS,
    Initializer,
    Parameter,
    Shape,
    kernel_initializer,
)
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.light import LightConv2D, LightDense
from poc.shared.spec.networks.nodes import Node
from poc.shared.spec.training.habits import Framework

# Kinds that are convolutions and dense layers of the frameworks, or consist of them. Others, such
# as an attention, start as their architecture says.
KINDS = (
    Conv2D,
    DepthwiseConv2D,
    PointwiseConv2D,
    SeparableConv2D,
    Dense,
    LightConv2D,
    LightDense,
)


def native_initializers(node: Node, framework: Framework) -> tuple[tuple[str, Initializer], ...]:
    """Return the parameters of a node that start otherwise, by their names in the layer."""
    if not isinstance(node.layer, KINDS):
        return ()
    declared = node.layer.parameters(node.input_shapes)
    # A gate that begins closed is part of its architecture, not a default.
    is_gate = bool(getattr(node.layer, "initial_bias", 0.0))
    found: list[tuple[str, Initializer]] = []
    fan_in = 0
    for parameter in declared:
        kind = parameter.name.rpartition("/")[2]
        if kind == "kernel":
            fan_in = torch_fan_in(node, parameter)
            found.append((parameter.name, start_of_kernel(parameter.shape, fan_in, framework)))
        elif kind == "bias" and not is_gate:
            # A bias follows its kernel.
            found.append((parameter.name, start_of_bias(fan_in, framework)))
    return tuple(found)


def start_of_kernel(shape: Shape, fan_in: int, framework: Framework) -> Initializer:
    """Return Glorot's uniform of a kernel (…, in, out) in Keras, U(+-1 / sqrt(fan in)) in PyTorch.

    PyTorch calls it Kaiming's uniform with a = sqrt(5).
    """
    if framework == "tf":
        return kernel_initializer("glorot_uniform", shape)
    return Initializer(distribution="torch_uniform", fan_in=fan_in)


def start_of_bias(fan_in: int, framework: Framework) -> Initializer:
    """Return zeros in Keras, and the distribution of the kernel in PyTorch."""
    if framework == "tf":
        return ZEROS
    return Initializer(distribution="torch_uniform", fan_in=fan_in)


def torch_fan_in(node: Node, kernel: Parameter) -> int:
    """Return the inputs of one output: a depthwise kernel (H, W, C, 1) has H * W of them."""
    is_depthwise = isinstance(node.layer, DepthwiseConv2D) or kernel.name.startswith("depthwise/")
    return math.prod(kernel.shape[:2] if is_depthwise else kernel.shape[:-1])
