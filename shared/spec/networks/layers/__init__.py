"""Layer declarations: the computation of each layer as plain data.

A declaration knows the shape of its output, its parameters and its multiply-adds. It has no tensor;
`tf_impl.layers` and `torch_impl.layers` have one implementation of each kind. Shapes leave the
batch out: images and maps are (H, W, C), vectors are (C,).
"""

from .convolution import Conv2D, DepthwiseConv2D, SeparableConv2D, check_equal_strides
from .declaration import (
    ONES,
    ZEROS,
    Activation,
    Elementwise,
    Initializer,
    Layer,
    Parameter,
    Shape,
    Stateless,
    bias_parameter,
    kernel_initializer,
    prefixed,
)
from .dense import Dense, Flatten, vector_size
from .elementwise import Activate, BatchNorm, Dropout
from .light import LightConv2D, LightDense
from .merging import Add, Concatenate, Multiply
from .pooling import GlobalPool, Pool2D
from .residual import Highway, ScaledAdd, StochasticDepth
from .window import Padding, Pads, Window, same_pads

__all__ = [
    "ONES",
    "ZEROS",
    "Activate",
    "Activation",
    "Add",
    "BatchNorm",
    "Concatenate",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Elementwise",
    "Flatten",
    "GlobalPool",
    "Highway",
    "Initializer",
    "Layer",
    "LightConv2D",
    "LightDense",
    "Multiply",
    "Padding",
    "Pads",
    "Parameter",
    "Pool2D",
    "ScaledAdd",
    "SeparableConv2D",
    "Shape",
    "Stateless",
    "StochasticDepth",
    "Window",
    "bias_parameter",
    "check_equal_strides",
    "kernel_initializer",
    "prefixed",
    "same_pads",
    "vector_size",
]
