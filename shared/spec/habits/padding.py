"""Pads of windows as a plain script of a framework writes them."""

from collections.abc import Sequence
from dataclasses import replace

from poc.shared.spec.networks.layers.declaration import Layer, Shape
from poc.shared.spec.networks.layers.pooling import Pool2D
from poc.shared.spec.networks.layers.window import Padding, Window
from poc.shared.spec.training.habits import Framework


def pad_natively(layer: Layer, inputs: Sequence[Shape], framework: Framework) -> Layer:
    """Return a layer with its framework's pads, if it has pads and the size stays the same.

    In PyTorch windows of an even size, which symmetric pads do not fit, do not change.
    """
    if not isinstance(layer, Window) or not has_pads(layer, inputs[0]):
        return layer
    if framework == "torch" and any(size % 2 == 0 for size in layer.kernel_size):
        return layer
    padding: Padding = "same" if framework == "tf" else symmetric_pads(layer.kernel_size)
    padded: Layer = replace(layer, padding=padding)
    if isinstance(padded, Pool2D):
        # PyTorch's average counts padded zeros, Keras' does not; a maximum never does.
        is_counted = framework == "torch" and padded.mode == "average"
        padded = replace(padded, count_padding=is_counted)
    return padded if padded.output_shape(inputs) == layer.output_shape(inputs) else layer


def has_pads(window: Window, shape: Shape) -> bool:
    """Return whether a window was declared with pads for an input (H, W, C)."""
    return window.padding == "same" or any(map(any, window.pads(shape)))


def symmetric_pads(kernel_size: tuple[int, int]) -> Padding:
    """Return (k - 1) / 2 on both sides of each axis, as `padding=` takes it in PyTorch."""
    vertical, horizontal = ((size - 1) // 2 for size in kernel_size)
    return (vertical, vertical), (horizontal, horizontal)
