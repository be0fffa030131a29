"""The table of models: a new architecture is one row and inherits every command and test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import Field

from poc.shared.errors import UsageError

from .architectures import efficientnet, lightnet, mobilenet, resnet_cifar, simple_cnn, vgg
from .layers import Shape
from .network import Network
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class Model:
    """One row: the options that the architecture takes and the function that declares it."""

    summary: str
    options: type[Settings]
    declare: Callable[[Any, Shape, int], Network]
    example_input: Shape = (28, 28, 1)


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "lightnet_plain": Model(
            summary="LightLayers paper, MNIST and Fashion-MNIST: plain blocks",
            options=lightnet.LightNetOptions,
            declare=lightnet.lightnet_plain,
        ),
        "lightnet_residual": Model(
            summary="LightLayers paper (CIFAR) and chest X-ray study: residual blocks",
            options=lightnet.LightNetOptions,
            declare=lightnet.lightnet_residual,
            example_input=(32, 32, 3),
        ),
        "conv2d_chain": Model(
            summary="chest X-ray study's baseline: nine 3x3 convolutions without padding",
            options=lightnet.ConvChainOptions,
            declare=lightnet.conv2d_chain,
            example_input=(64, 64, 3),
        ),
        "resnet32_cifar": Model(
            summary="CIFAR ResNet-32 of L2T-ww: basic blocks of 16, 32, 64 filters",
            options=resnet_cifar.ResNetCifarOptions,
            declare=resnet_cifar.resnet32_cifar,
            example_input=(32, 32, 3),
        ),
        "vgg9_bn": Model(
            summary="VGG with eight convolutions and batch norm, the target of L2T-ww",
            options=vgg.VGG9Options,
            declare=vgg.vgg9_bn,
            example_input=(32, 32, 3),
        ),
        "vgg16": Model(
            summary="VGG16, as Keras and torchvision have it",
            options=vgg.VGGOptions,
            declare=vgg.vgg16,
            example_input=(224, 224, 3),
        ),
        "vgg16_bn": Model(
            summary="VGG16 with batch norm, as torchvision has it",
            options=vgg.VGGOptions,
            declare=vgg.vgg16_bn,
            example_input=(224, 224, 3),
        ),
        "simple_cnn": Model(
            summary="three convolutions and a global max-pool, the L2T-ww study's small target",
            options=simple_cnn.SimpleCNNOptions,
            declare=simple_cnn.simple_cnn,
            example_input=(256, 256, 3),
        ),
        "mobilenet_v2": Model(
            summary="MobileNetV2: 17 inverted residuals; lineage of Keras or torchvision",
            options=mobilenet.MobileNetV2Options,
            declare=mobilenet.mobilenet_v2,
            example_input=(224, 224, 3),
        ),
        "efficientnet_lite0": Model(
            summary="EfficientNet-Lite0: B0 without squeeze-and-excite, with ReLU6",
            options=efficientnet.LiteOptions,
            declare=efficientnet.efficientnet_lite0,
            example_input=(224, 224, 3),
        ),
        **{
            name: Model(
                summary=f"EfficientNet-{name[-2:].upper()}; lineage of Keras or torchvision",
                options=efficientnet.EfficientNetOptions,
                declare=efficientnet.efficientnet(name),
                example_input=(variant.image_size, variant.image_size, 3),
            )
            for name, variant in efficientnet.VARIANTS.items()
        },
    }
)


def find_model(name: str) -> Model:
    """The row of a model.

    Raises:
        UsageError: No such model.
    """
    if name not in MODELS:
        raise UsageError(
            f"received the model {name!r}; allowed are {', '.join(sorted(MODELS))}: "
            "choose one (`poc models list` describes them)"
        )
    return MODELS[name]


class ModelSpec(Settings):
    """Which architecture, with which of its own options."""

    name: str = Field(description="a row of `poc models list`")
    options: Mapping[str, Any] = Field(default_factory=dict, description="the model's own options")

    def resolved(self) -> Settings:
        """The model's options, validated, defaults filled in."""
        return find_model(self.name).options.parse(dict(self.options), "model")

    def declare(self, input_shape: Shape, num_classes: int) -> Network:
        """The declared network for images of `input_shape` (H, W, C)."""
        return find_model(self.name).declare(self.resolved(), input_shape, num_classes)
