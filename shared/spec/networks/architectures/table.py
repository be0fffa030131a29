"""The table of models: a new architecture is one row and inherits every command and test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from . import (
    convnext,
    densenet,
    efficientnet,
    googlenet,
    inception,
    inception_resnet,
    lightnet,
    mobilenet,
    simple_cnn,
    vgg,
    vision_transformer,
)
from .residual_networks import resnet, resnet_cifar, resnet_preactivation


@dataclass(frozen=True, kw_only=True)
class Model:
    """One row: the options that the architecture takes and the function that declares it.

    Attributes:
        summary: One line for users.
        options: Class of the architecture's options.
        declare: (options, input shape (H, W, C), number of classes) -> the network.
        example_input: Shape (H, W, C) of an image that the architecture is made for.
        former: Newer options whose default is not the former behaviour -> the value that is. Every
            spec names these options, so that a stored one without them is known to be older.
    """

    summary: str
    options: type[Settings]
    declare: Callable[..., Network]
    example_input: Shape = (28, 28, 1)
    former: Mapping[str, object] = field(default_factory=dict)


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
        "googlenet": Model(
            summary="Inception v1 with biases: the course's net for Fashion-MNIST; the paper's",
            options=googlenet.GoogLeNetOptions,
            declare=googlenet.googlenet,
        ),
        "inception_module": Model(
            summary="one Inception module, naive or reduced, to count its multiply-adds",
            options=googlenet.InceptionModuleOptions,
            declare=googlenet.inception_module,
            example_input=(28, 28, 256),
        ),
        "inception_v3": Model(
            summary="InceptionV3, Keras lineage",
            options=inception.InceptionOptions,
            declare=inception.inception_v3,
            example_input=(299, 299, 3),
        ),
        "inception_resnet_v1": Model(
            summary="Inception-ResNet v1, the paper's 5, 10 and 5 blocks",
            options=inception_resnet.InceptionResNetV1Options,
            declare=inception_resnet.inception_resnet_v1,
            example_input=(299, 299, 3),
        ),
        "inception_resnet_v2": Model(
            summary="Inception-ResNet v2, Keras lineage",
            options=inception_resnet.InceptionResNetOptions,
            declare=inception_resnet.inception_resnet_v2,
            example_input=(299, 299, 3),
        ),
        **{
            f"resnet{depth}": Model(
                summary=f"ResNet-{depth}, torchvision lineage; Keras' as an option",
                options=resnet.ResNetOptions,
                declare=resnet.of_depth(depth),
                example_input=(224, 224, 3),
            )
            for depth in (18, 34, 50, 101, 152)
        },
        **{
            f"resnet{depth}v2": Model(
                summary=f"ResNet-{depth} with pre-activation, Keras lineage",
                options=resnet_preactivation.ResNetV2Options,
                declare=partial(resnet_preactivation.resnet_v2, depth=depth),
                example_input=(224, 224, 3),
            )
            for depth in (50, 101, 152)
        },
        "resnext101_32x8d": Model(
            summary="ResNeXt-101, 32 groups of width 8",
            options=resnet.ResNetOptions,
            declare=resnet.resnext101(8),
            example_input=(224, 224, 3),
        ),
        "resnext101_32x48d": Model(
            summary="ResNeXt-101, 32 groups of width 48",
            options=resnet.ResNetOptions,
            declare=resnet.resnext101(48),
            example_input=(224, 224, 3),
        ),
        "resnet32_cifar": Model(
            summary="CIFAR ResNet-32 of L2T-ww: basic blocks of 16, 32, 64 filters",
            options=resnet_cifar.ResNetCifarOptions,
            declare=resnet_cifar.resnet32_cifar,
            example_input=(32, 32, 3),
        ),
        "highway": Model(
            summary="Highway net of the CIFAR form: gates instead of sums",
            options=resnet_cifar.HighwayOptions,
            declare=resnet_cifar.highway,
            example_input=(32, 32, 3),
        ),
        "vgg9_bn": Model(
            summary="VGG with eight convolutions and batch norm, the target of L2T-ww",
            options=vgg.VGG9Options,
            declare=vgg.vgg9_bn,
            example_input=(32, 32, 3),
            former={"last_pool": False},
        ),
        "densenet121": Model(
            summary="DenseNet-121: each layer reads all before it; torchvision's or Keras' norm",
            options=densenet.DenseNet121Options,
            declare=densenet.densenet121,
            example_input=(224, 224, 3),
        ),
        "densenet_cifar": Model(
            summary="DenseNet-BC for images of 32 pixels, depth 40 and growth rate 12",
            options=densenet.DenseNetCifarOptions,
            declare=densenet.densenet_cifar,
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
        **{
            name: Model(
                summary=f"MobileNetV3 {name[-5:]}; lineage of torchvision or Keras",
                options=mobilenet.MobileNetV3Options,
                declare=mobilenet.mobilenet_v3(name),
                example_input=(224, 224, 3),
            )
            for name in mobilenet.V3_VARIANTS
        },
        **{
            name: Model(
                summary=f"ConvNeXt {name.removeprefix('convnext_')}: 7x7 depthwise, layer norm",
                options=convnext.ConvNeXtOptions,
                declare=convnext.convnext(name),
                example_input=(224, 224, 3),
            )
            for name in convnext.VARIANTS
        },
        "efficientnet_lite0": Model(
            summary="EfficientNet-Lite0: B0 without squeeze-and-excite, with ReLU6",
            options=efficientnet.EfficientNetOptions,
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
        **{
            name: Model(
                summary=f"ViT-{name[4:-2].title()}/16: vision transformer on patches of 16x16",
                options=vision_transformer.VitOptions,
                declare=vision_transformer.transformer(name),
                example_input=(224, 224, 3),
            )
            for name in vision_transformer.VIT_VARIANTS
        },
        **{
            name: Model(
                summary=f"DINOv2 {name[7:-2].upper()}/14: vision transformer with LayerScale",
                options=vision_transformer.Dinov2Options,
                declare=vision_transformer.transformer(name),
                example_input=(518, 518, 3),
            )
            for name in vision_transformer.DINOV2_VARIANTS
        },
    }
)
