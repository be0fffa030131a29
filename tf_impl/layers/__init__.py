"""Layers in Keras: one class for each kind that `poc.shared.spec.networks.layers` declares."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import keras

from .basic import Activation, BatchNorm, Dense, Dropout, Flatten
from .convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from .light import LightConv2D, LightDense
from .merging import Add, Concatenate, Multiply
from .pooling import GlobalPool, Pool2D
from .residual import Highway, ScaledAdd, StochasticDepth

# Kind of a declaration -> the class that is made with its arguments.
LAYERS: Mapping[str, Callable[..., keras.layers.Layer]] = MappingProxyType(
    {
        "activation": Activation,
        "add": Add,
        "batch_norm": BatchNorm,
        "concatenate": Concatenate,
        "conv2d": Conv2D,
        "dense": Dense,
        "depthwise_conv2d": DepthwiseConv2D,
        "dropout": Dropout,
        "flatten": Flatten,
        "global_pool": GlobalPool,
        "highway": Highway,
        "light_conv2d": LightConv2D,
        "light_dense": LightDense,
        "multiply": Multiply,
        "pool2d": Pool2D,
        "scaled_add": ScaledAdd,
        "separable_conv2d": SeparableConv2D,
        "stochastic_depth": StochasticDepth,
    }
)

for layer_class in LAYERS.values():
    # Under these names `keras.models.load_model` finds the classes of a `.keras` file.
    keras.saving.register_keras_serializable(package="poc")(layer_class)
