"""The table of small networks that every layer test and the probe share; a new kind is one row.

Shapes are not square, windows are not symmetric and channels are several, so that a swapped axis
cannot hide.
"""

from collections.abc import Sequence

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.attention import SelfAttention
from poc.shared.spec.networks.layers.convolution import (
    Conv2D,
    DepthwiseConv2D,
    PointwiseConv2D,
    SeparableConv2D,
)
from poc.shared.spec.networks.layers.declaration import Layer
from poc.shared.spec.networks.layers.dense import Dense, Flatten
from poc.shared.spec.networks.layers.elementwise import (
    Activate,
    BatchNorm,
    Dropout,
    LayerNorm,
    LayerScale,
)
from poc.shared.spec.networks.layers.light import LightConv2D, LightDense
from poc.shared.spec.networks.layers.lora import Lora
from poc.shared.spec.networks.layers.merging import Add, Concatenate, Multiply
from poc.shared.spec.networks.layers.neighbours import NearestNeighbours
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.layers.residual import Highway, ScaledAdd, StochasticDepth
from poc.shared.spec.networks.layers.tokens import (
    LearnedTokens,
    MeanTokens,
    PositionEmbedding,
    TakeToken,
    ToMap,
    ToTokens,
)
from poc.shared.spec.networks.network import Network

MAP = (6, 5, 4)
VECTOR = (7,)
TOKENS = (5, 6)
PADS = ((2, 1), (0, 3))


def single(layer: Layer, shape: tuple[int, ...] = MAP) -> Network:
    """A network of one layer."""
    net = NetworkBuilder("case", shape)
    net.add("layer", layer)
    return net.build()


def joined(layer: Layer, *between: Layer) -> Network:
    """Two different maps, each changed by the layers `between`, joined by `layer`."""
    net = NetworkBuilder("case", MAP)
    left = net.add("left", Conv2D(filters=3, kernel_size=(1, 1)))
    for index, other in enumerate(between):
        left = net.add(f"left{index}", other)
    right = net.add("right", Conv2D(filters=3, kernel_size=(3, 2)), "images")
    for index, other in enumerate(between):
        right = net.add(f"right{index}", other)
    net.add("layer", layer, left, right)
    return net.build()


def rescaled() -> Network:
    """Every channel of a map times its own mean: what squeeze-and-excite does last."""
    net = NetworkBuilder("case", MAP)
    factors = net.add("pool", GlobalPool(keep_axes=True), "images")
    net.add("layer", Multiply(), "images", factors)
    return net.build()


def gated() -> Network:
    """A highway gate between two maps."""
    net = NetworkBuilder("case", MAP)
    left, right, gate = (
        net.add(name, Conv2D(filters=3, kernel_size=(1, 1), activation=activation), "images")
        for name, activation in (("left", None), ("right", "tanh"), ("gate", "sigmoid"))
    )
    net.add("layer", Highway(), left, right, gate)
    return net.build()


def flattened(reader: Layer, *between: Layer) -> Network:
    """Flatten, then a layer that reads it: the order of the flattened values matters."""
    net = NetworkBuilder("case", MAP)
    net.add("layer", Flatten())
    for index, layer in enumerate(between):
        net.add(f"between{index}", layer)
    net.add("dense", reader)
    return net.build()


WINDOW = {"kernel_size": (3, 2), "strides": (2, 1)}
LORA = {"lora": Lora(rank=2, alpha=3.0)}
PARTS = ("query", "key", "value", "projection")
STORED = {"units": 3, "num_stored": 9, "most_neighbours": 4}
ACTIVATIONS = (
    *("relu", "relu6", "swish", "hard_swish", "gelu", "gelu_tanh"),
    *("sigmoid", "hard_sigmoid", "softmax", "tanh"),
)
CASES: dict[str, Network] = {
    "conv2d same": single(Conv2D(filters=3, kernel_size=(3, 2))),
    "conv2d same strided": single(Conv2D(filters=3, kernel_size=(3, 2), strides=(2, 3))),
    "conv2d valid": single(Conv2D(filters=3, padding="valid", activation="relu", **WINDOW)),
    "conv2d pads": single(Conv2D(filters=3, padding=PADS, use_bias=False, **WINDOW)),
    # TensorFlow's layer pads so wide a map before its convolution.
    "conv2d pads wide": single(Conv2D(filters=3, padding=PADS, **WINDOW), (6, 5, 80)),
    "conv2d symmetric": single(Conv2D(filters=3, kernel_size=(3, 3), padding=((1, 1), (1, 1)))),
    "conv2d groups": single(Conv2D(filters=6, groups=2, **WINDOW)),
    "depthwise": single(DepthwiseConv2D(kernel_size=(3, 2), activation="relu6")),
    "depthwise valid": single(DepthwiseConv2D(kernel_size=(2, 3), padding="valid")),
    "depthwise same stride": single(
        DepthwiseConv2D(kernel_size=(3, 3), strides=(2, 2), padding=PADS, use_bias=False)
    ),
    "separable": single(SeparableConv2D(filters=3, kernel_size=(3, 2), activation="relu")),
    "separable strided": single(SeparableConv2D(filters=3, kernel_size=(3, 3), strides=(2, 2))),
    "pointwise": single(PointwiseConv2D(units=3, activation="gelu")),
    "pointwise no bias": single(PointwiseConv2D(units=3, use_bias=False)),
    "dense": single(Dense(units=3, activation="tanh"), VECTOR),
    "dense no bias": single(Dense(units=3, use_bias=False), VECTOR),
    "light conv2d": single(LightConv2D(filters=3, kernel_size=(3, 2), rank=2)),
    "light conv2d strided": single(LightConv2D(filters=3, rank=2, activation="relu", **WINDOW)),
    # Linear inside: one of few values lies so near a ReLU's kink that bfloat16 changes its side.
    "light conv2d strided twice": single(
        LightConv2D(filters=3, rank=2, strides_in="both", inner_activation=None, **WINDOW),
        (9, 8, 3),
    ),
    "light conv2d valid": single(
        LightConv2D(filters=3, kernel_size=(2, 3), rank=2, padding="valid", inner_activation=None)
    ),
    "light dense": single(LightDense(units=5, rank=2, activation="sigmoid"), VECTOR),
    "light dense scaled": single(LightDense(units=5, rank=2, scale="reference"), VECTOR),
    "neighbours": single(NearestNeighbours(**STORED, sharpness=5.0), VECTOR),
    "neighbours equal": single(NearestNeighbours(**STORED), VECTOR),
    "neighbours euclidean": single(
        NearestNeighbours(**STORED, metric="euclidean", sharpness=0.1), VECTOR
    ),
    "batch norm": single(BatchNorm()),
    "batch norm vector": single(BatchNorm(momentum=0.7, epsilon=1e-5), VECTOR),
    # With one image a single value a channel.
    "batch norm one value": single(BatchNorm(momentum=0.7), (1, 1, 4)),
    "batch norm one value plain": single(BatchNorm(scale=False, center=False), (1, 1, 4)),
    "batch norm no scale": single(BatchNorm(scale=False)),
    "batch norm no centre": single(BatchNorm(center=False)),
    **{
        f"{name} {word}": single(layer, shape)
        for word, shape in {"map": MAP, "tokens": TOKENS, "vector": VECTOR}.items()
        for name, layer in {
            "layer norm": LayerNorm(epsilon=1e-3),
            "layer scale": LayerScale(initial_value=0.1),
        }.items()
    },
    "max pool": single(Pool2D(kernel_size=(2, 2), strides=(2, 2), padding="valid")),
    "max pool same": single(Pool2D(**WINDOW)),
    "max pool pads": single(Pool2D(kernel_size=(3, 3), strides=(2, 2), padding=((1, 1), (1, 0)))),
    "average pool": single(Pool2D(mode="average", padding="valid", **WINDOW)),
    "average pool same": single(Pool2D(mode="average", **WINDOW)),
    "average pool counted": single(
        Pool2D(mode="average", kernel_size=(3, 3), padding=((1, 1), (1, 0)), count_padding=True)
    ),
    "global average": single(GlobalPool()),
    "global max": single(GlobalPool(mode="max")),
    "dropout": single(Dropout(rate=0.25)),
    "dropout vector": single(Dropout(rate=0.5), VECTOR),
    "dropout spatial": single(Dropout(rate=0.5, is_spatial=True)),
    "drop path": single(StochasticDepth(survival=0.5, mode="row", scaling="train")),
    "drop path of the paper": single(StochasticDepth(survival=0.7, mode="row")),
    "multiply": rescaled(),
    "scaled add": joined(ScaledAdd(scale=0.2)),
    "highway": gated(),
    "flatten": flattened(Dense(units=3)),
    "flatten light": flattened(LightDense(units=3, rank=2)),
    "flatten between": flattened(Dense(units=3), BatchNorm(), Dropout(rate=0.25)),
    "flatten alone": single(Flatten()),
    "dense tokens": single(Dense(units=3, activation="softmax"), TOKENS),
    "to tokens": single(ToTokens()),
    "to map": single(ToMap(height=1, width=4, skipped=1), TOKENS),
    "class token": single(LearnedTokens(), TOKENS),
    "registers": single(LearnedTokens(count=3, place=1), TOKENS),
    "position embedding": single(PositionEmbedding(), TOKENS),
    "take token": single(TakeToken(place=1), TOKENS),
    "mean tokens": single(MeanTokens(skipped=2), TOKENS),
    "attention": single(SelfAttention(heads=3), TOKENS),
    "lora dense": single(Dense(units=3, activation="tanh", **LORA), VECTOR),
    "lora dense tokens": single(Dense(units=3, use_bias=False, **LORA), TOKENS),
    "lora flatten": flattened(Dense(units=3, **LORA)),
    "lora conv2d": single(Conv2D(filters=3, padding=PADS, activation="gelu", **WINDOW, **LORA)),
    "lora conv2d same": single(Conv2D(filters=3, use_bias=False, **WINDOW, **LORA)),
    "lora conv2d pads wide": single(Conv2D(filters=3, padding=PADS, **WINDOW, **LORA), (6, 5, 80)),
    "lora conv2d groups": single(Conv2D(filters=6, groups=2, **WINDOW, **LORA)),
    "lora pointwise": single(PointwiseConv2D(units=3, activation="gelu", **LORA)),
    "lora attention": single(SelfAttention(heads=2, adapted=PARTS, **LORA), TOKENS),
    "lora attention parts": single(
        SelfAttention(heads=2, adapted=("query", "value"), **LORA), TOKENS
    ),
    "dropout tokens": single(Dropout(rate=0.25), TOKENS),
    "drop path tokens": single(StochasticDepth(survival=0.5, mode="row", scaling="train"), TOKENS),
    "concatenate tokens": joined(Concatenate(), ToTokens()),
    "add": joined(Add()),
    "concatenate": joined(Concatenate()),
    **{f"activation {name}": single(Activate(activation=name)) for name in ACTIVATIONS},
}


def same_padding_case(sizes: Sequence[int], kernel_size: int, stride: int) -> Network:
    """A "same" convolution on a map of these (height, width)."""
    window = {"kernel_size": (kernel_size, kernel_size), "strides": (stride, stride)}
    return single(Conv2D(filters=2, **window), (*sizes, 2))
