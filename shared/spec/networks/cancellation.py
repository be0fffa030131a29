"""Biases without effect: constants that a later batch norm subtracts, or a softmax does not see."""

from .layers.attention import INERT, SelfAttention
from .layers.convolution import Conv2D
from .layers.light import LightConv2D
from .layers.residual import ScaledAdd, StochasticDepth
from .nodes import Node

NO_PADS = ((0, 0), (0, 0))
# Layers that turn a constant per channel into a constant per channel.
PASSES_CONSTANTS = ("add", ScaledAdd.kind, "concatenate")


def added_constants(node: Node) -> tuple[str, ...]:
    """Return the trainable parameters that add one constant to each channel of the output."""
    trainable = [parameter.name for parameter in node.parameters if parameter.is_trainable]
    last = tuple(name for name in trainable[-1:] if name.endswith(("/bias", "/beta")))
    if not last or not isinstance(node.layer, LightConv2D):
        return last
    return (
        *last,
        *(f"{node.name}/{name}" for name in node.layer.inner_constants(node.input_shapes)),
    )


def inert_biases(node: Node) -> tuple[str, ...]:
    """Return the trainable biases that change no output of the node itself: an attention's key."""
    if not isinstance(node.layer, SelfAttention):
        return ()
    return tuple(p.name for p in node.parameters if p.is_trainable and p.name.endswith(INERT))


def hands_constants_on(node: Node) -> bool:
    """Return whether a constant per channel at the input is one per channel at the output.

    A 1x1 convolution mixes constants into constants; a larger one meets its padding at the border.
    """
    layer = node.layer
    if isinstance(layer, StochasticDepth):
        return layer.mode == "batch"
    if isinstance(layer, Conv2D):
        is_pointwise = layer.kernel_size == (1, 1) and layer.pads(node.input_shapes[0]) == NO_PADS
        return is_pointwise and layer.activation is None
    if layer.kind == "pool2d":
        return not getattr(layer, "count_padding", False)
    return layer.kind in PASSES_CONSTANTS
