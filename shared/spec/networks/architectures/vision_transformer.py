"""Vision transformers: ViT and DeiT (arXiv 2010.11929, 2012.12877), and DINOv2 (arXiv 2304.07193).

Both cut an image into square patches, add a learned class token and learned positions, and apply
blocks of attention and two dense layers, each behind its layer norm. They differ in the patches, in
LayerScale and in the first values: those of ViT's published code, with DeiT's in the head, and
those of DINOv2's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.attention import SelfAttention
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Layer, Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Dropout, LayerNorm, LayerScale
from poc.shared.spec.networks.layers.merging import Add, Concatenate
from poc.shared.spec.networks.layers.residual import StochasticDepth
from poc.shared.spec.networks.layers.tokens import (
    LearnedTokens,
    MeanTokens,
    PositionEmbedding,
    TakeToken,
    ToMap,
    ToTokens,
)
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The published sizes of one member of a family."""

    width: int
    heads: int
    patch_size: int
    depth: int = 12


VIT_VARIANTS = {
    "vit_ti16": Variant(width=192, heads=3, patch_size=16),
    "vit_s16": Variant(width=384, heads=6, patch_size=16),
    "vit_b16": Variant(width=768, heads=12, patch_size=16),
}
DINOV2_VARIANTS = {
    "dinov2_s14": Variant(width=384, heads=6, patch_size=14),
    "dinov2_b14": Variant(width=768, heads=12, patch_size=14),
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """The first values of a family; positions have the deviation 0.02 in both."""

    patches: str
    patch_bias: str
    kernels: str
    mlp_bias: str
    token_deviation: float


# The published code of ViT has a class token of zeros and a head of zeros, from which no gradient
# reaches the body in the first step; here both are drawn as DeiT's.
VIT_START = Start(
    patches="lecun_normal",
    patch_bias="zeros",
    kernels="glorot_uniform",
    mlp_bias="normal_millionth",
    token_deviation=0.02,
)
DINOV2_START = Start(
    patches="torch_uniform",
    patch_bias="torch_uniform",
    kernels="normal_fiftieth",
    mlp_bias="zeros",
    token_deviation=1e-6,
)


class TransformerOptions(Settings):
    """Options of both families."""

    depth: int | None = Field(None, ge=1, description="number of blocks; none: 12")
    width: int | None = Field(
        None, ge=1, description="number of channels of a token; none: the publication's"
    )
    heads: int | None = Field(
        None, ge=1, description="number of attention heads; none: the publication's"
    )
    patch_size: int | None = Field(
        None, ge=1, description="side of a patch in pixels; none: the publication's"
    )
    mlp_ratio: float = Field(
        4.0, gt=0, description="width of a block's first dense layer, as a multiple of a token's"
    )
    registers: int = Field(
        0, ge=0, description="number of register tokens, learned and not read (arXiv 2309.16588)"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="dropout rate after the positions, the attention and each dense layer",
    )
    stochastic_depth: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="rate at which the last block's branches are dropped; from 0 on in equal steps",
    )
    epsilon: float = Field(
        1e-6, gt=0, description="epsilon of the layer norms; 1e-12 in the ViTs of transformers"
    )


class VitOptions(TransformerOptions):
    """Options of ViT."""

    pooling: Literal["class_token", "mean"] = Field(
        "class_token",
        description="what the head reads; mean: of the patches, without a class token",
    )


class Dinov2Options(TransformerOptions):
    """Options of DINOv2."""

    pooling: Literal["class_token", "class_token_and_mean"] = Field(
        "class_token",
        description="what the head reads; class_token_and_mean: both, one after the other",
    )
    layer_scale: float = Field(
        1.0, description="first value of the factors on each branch (arXiv 2103.17239)"
    )


Declare = Callable[[TransformerOptions, Shape, int], Network]


def transformer(name: str) -> Declare:
    """Return the function that declares one member of either family."""
    variant = {**VIT_VARIANTS, **DINOV2_VARIANTS}[name]
    start = VIT_START if name in VIT_VARIANTS else DINOV2_START

    def declare(options: TransformerOptions, input_shape: Shape, num_classes: int) -> Network:
        return Body(name, variant, start, options, input_shape).declare(num_classes)

    return declare


class Body:
    """The declaration of one transformer, part by part."""

    def __init__(
        self,
        name: str,
        variant: Variant,
        start: Start,
        options: TransformerOptions,
        input_shape: Shape,
    ) -> None:
        self.net = NetworkBuilder(name, input_shape)
        self.options, self.start = options, start
        self.depth = options.depth or variant.depth
        self.width = options.width or variant.width
        self.heads = options.heads or variant.heads
        self.patch_size = options.patch_size or variant.patch_size
        self.pooling = getattr(options, "pooling", "class_token")
        self.has_class_token = self.pooling != "mean"
        self.grid = find_grid(input_shape, self.patch_size)

    @property
    def num_prefix(self) -> int:
        """Return the number of tokens before those of the patches."""
        return int(self.has_class_token) + self.options.registers

    def declare(self, num_classes: int) -> Network:
        """Declare patches, tokens, blocks, norm, pooling and head.

        Taps `block1`, … are the patches' tokens after each block, as a map.
        """
        self.add_tokens()
        for index in range(self.depth):
            self.add_block(index)
        self.net.add("norm", self.norm())
        self.add_pooling()
        self.net.add("head", Dense(units=num_classes, initializer="normal_fiftieth"))
        return self.net.build()

    def add_tokens(self) -> None:
        """Add patches as tokens, class token, positions and registers."""
        side = (self.patch_size, self.patch_size)
        patches = Conv2D(
            filters=self.width,
            kernel_size=side,
            strides=side,
            padding="valid",
            initializer=self.start.patches,
            bias_initializer=self.start.patch_bias,
        )
        self.net.add("patches", patches)
        self.net.add("tokens", ToTokens())
        deviation = self.start.token_deviation
        if self.has_class_token:
            self.net.add("class_token", LearnedTokens(deviation=deviation))
        self.net.add("position_embedding", PositionEmbedding())
        if self.options.registers:
            place = int(self.has_class_token)
            registers = LearnedTokens(
                count=self.options.registers, place=place, deviation=deviation
            )
            self.net.add("registers", registers)
        self.add_dropout("dropout")

    def add_block(self, index: int) -> None:
        """Add attention and two dense layers, each a branch behind its norm; publish the map."""
        name, source = f"block{index + 1}", self.net.latest
        rate = self.options.stochastic_depth * index / max(1, self.depth - 1)
        first = self.net.add(f"{name}/norm1", self.norm())
        self.net.add(
            f"{name}/attention", SelfAttention(heads=self.heads, initializer=self.start.kernels)
        )
        self.add_dropout(f"{name}/dropout1")
        middle = self.end_branch(name, 1, source, rate)
        self.net.add(f"{name}/norm2", self.norm())
        hidden = round(self.options.mlp_ratio * self.width)
        self.net.add(f"{name}/dense1", self.dense(hidden, activation="gelu"))
        self.add_dropout(f"{name}/dropout2")
        self.net.add(f"{name}/dense2", self.dense(self.width))
        self.add_dropout(f"{name}/dropout3")
        end = self.end_branch(name, 2, middle, rate)
        self.net.close_block(name, first, source, is_identity=True)
        height, width = self.grid
        self.net.add(f"{name}/map", ToMap(height=height, width=width, skipped=self.num_prefix))
        self.net.tap(name)
        self.net.resume(end)

    def end_branch(self, name: str, number: int, source: str, rate: float) -> str:
        """Scale the branch, drop it at random, add it to `source`; return the sum's name."""
        scale = getattr(self.options, "layer_scale", None)
        if scale is not None:
            self.net.add(f"{name}/scale{number}", LayerScale(initial_value=scale))
        if rate:
            layer = StochasticDepth(survival=1 - rate, mode="row", scaling="train")
            self.net.add(f"{name}/drop_path{number}", layer)
        return self.net.add(f"{name}/add{number}", Add(), source, self.net.latest)

    def add_pooling(self) -> None:
        """Add what the head reads."""
        tokens = self.net.latest
        mean = MeanTokens(skipped=self.num_prefix)
        if self.pooling == "mean":
            self.net.add("mean", mean)
            return
        self.net.add("pool", TakeToken())
        if self.pooling == "class_token_and_mean":
            self.net.add("mean", mean, tokens)
            self.net.add("both", Concatenate(), "pool", "mean")

    def norm(self) -> LayerNorm:
        """Declare a layer norm."""
        return LayerNorm(epsilon=self.options.epsilon)

    def dense(self, units: int, *, activation: Literal["gelu"] | None = None) -> Layer:
        """Declare a dense layer of a block."""
        return Dense(
            units=units,
            activation=activation,
            initializer=self.start.kernels,
            bias_initializer=self.start.mlp_bias,
        )

    def add_dropout(self, name: str) -> None:
        """Add a dropout if there is a rate."""
        if self.options.dropout:
            self.net.add(name, Dropout(rate=self.options.dropout))


def find_grid(input_shape: Shape, patch_size: int) -> tuple[int, int]:
    """Return rows and columns of patches.

    Raises:
        UsageError: The patches do not fill the image.
    """
    height, width = input_shape[:2]
    if height % patch_size or width % patch_size or not height * width:
        near = max(1, round(height / patch_size)) * patch_size
        raise UsageError(
            f"Got images of {height}x{width} for patches of {patch_size}x{patch_size}. Expected "
            f"multiples of {patch_size}. Try data.image_size=[{near}, {near}], or another "
            "model.patch_size."
        )
    return height // patch_size, width // patch_size
