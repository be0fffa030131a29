"""Table of the naming schemes of each model, and of the origin of its ImageNet weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from poc.shared.errors import UsageError
from poc.shared.spec.networks.architectures import convnext as convnext_models
from poc.shared.spec.networks.architectures.efficientnet import VARIANTS
from poc.shared.spec.networks.architectures.mobilenet import V3_VARIANTS
from poc.shared.spec.networks.architectures.vision_transformer import DINOV2_VARIANTS, VIT_VARIANTS
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.suggestions import closest

from . import (
    convnext,
    densenet,
    inception,
    inverted_residual,
    resnet,
    vgg,
    vision_transformer,
)
from .schemes import DOTTED, Scheme

SCHEMES: Mapping[str, tuple[Scheme, ...]] = MappingProxyType(
    {
        "resnet32_cifar": resnet.CIFAR_SCHEMES,
        "vgg16": vgg.VGG16_SCHEMES,
        "vgg16_bn": vgg.VGG16_BN_SCHEMES,
        "densenet121": densenet.SCHEMES,
        "mobilenet_v2": inverted_residual.MOBILENET_SCHEMES,
        **dict.fromkeys(V3_VARIANTS, inverted_residual.MOBILENET_V3_SCHEMES),
        **dict.fromkeys(convnext_models.VARIANTS, convnext.SCHEMES),
        **dict.fromkeys(("resnet50", "resnet101", "resnet152"), resnet.SCHEMES),
        **dict.fromkeys(("resnet50v2", "resnet101v2", "resnet152v2"), resnet.PREACTIVATION_SCHEMES),
        **dict.fromkeys(("inception_v3", "inception_resnet_v2"), inception.SCHEMES),
        "efficientnet_lite0": inverted_residual.LITE_SCHEMES,
        **dict.fromkeys(VARIANTS, inverted_residual.EFFICIENTNET_SCHEMES),
        **dict.fromkeys(VIT_VARIANTS, vision_transformer.VIT_SCHEMES),
        **dict.fromkeys(DINOV2_VARIANTS, vision_transformer.DINOV2_SCHEMES),
    }
)


def find_schemes(model: str) -> tuple[Scheme, ...]:
    """Return the schemes of a model; one that is not listed has canonical names with dots."""
    return SCHEMES.get(model, (DOTTED,))


@dataclass(frozen=True, kw_only=True)
class ImagenetOrigin:
    """Publisher of ImageNet weights: framework, the model's name there, and its options here."""

    backend: str
    name: str
    scheme: str
    options: Mapping[str, str]


def torchvision_origin(model: str, **options: str) -> ImagenetOrigin:
    """Return torchvision as origin (`IMAGENET1K_V1`); it uses the same names of models."""
    return ImagenetOrigin(backend="torch", name=model, scheme="torchvision", options=options)


def keras_origin(name: str, **options: str) -> ImagenetOrigin:
    """Return keras.applications as origin, under the class name that it has there."""
    return ImagenetOrigin(backend="tf", name=name, scheme="keras", options=options)


# (model, lineage) -> origin; a model without lineage has "".
IMAGENET_ORIGINS: Mapping[tuple[str, str], ImagenetOrigin] = MappingProxyType(
    {
        ("vgg16", ""): torchvision_origin("vgg16"),
        ("vgg16_bn", ""): torchvision_origin("vgg16_bn"),
        ("vit_b16", ""): torchvision_origin("vit_b_16"),
        ("densenet121", "keras"): keras_origin("DenseNet121", lineage="keras"),
        ("densenet121", "torchvision"): torchvision_origin("densenet121", lineage="torchvision"),
        ("mobilenet_v2", "keras"): keras_origin("MobileNetV2", lineage="keras"),
        ("mobilenet_v2", "torchvision"): torchvision_origin("mobilenet_v2", lineage="torchvision"),
        **{
            (name, "torchvision"): torchvision_origin(name, lineage="torchvision")
            for name in V3_VARIANTS
        },
        **{
            (name, "keras"): keras_origin(f"MobileNetV3{name[-5:].title()}", lineage="keras")
            for name in V3_VARIANTS
        },
        **{(name, ""): torchvision_origin(name) for name in convnext_models.VARIANTS},
        **{
            (name, "keras"): keras_origin(f"EfficientNet{name[-2:].upper()}", lineage="keras")
            for name in VARIANTS
        },
        **{
            (name, "torchvision"): torchvision_origin(name, lineage="torchvision")
            for name in VARIANTS
        },
    }
)


def find_imagenet_origin(model: ModelSpec) -> ImagenetOrigin:
    """Find the origin of ImageNet weights of a model and its lineage.

    Raises:
        UsageError: No publisher has them.
    """
    lineage = getattr(model.resolved(), "lineage", "")
    if (model.name, lineage) not in IMAGENET_ORIGINS:
        allowed = [*dict.fromkeys(name for name, _ in IMAGENET_ORIGINS)]
        # The smallest of them, if no name is close.
        near = closest(model.name, allowed) or "mobilenet_v2"
        raise UsageError(
            f"Got --weights imagenet for {model.name}. Expected one of {', '.join(allowed)}. Try "
            f"--model {near}, or name a canonical safetensors file."
        )
    return IMAGENET_ORIGINS[model.name, lineage]
