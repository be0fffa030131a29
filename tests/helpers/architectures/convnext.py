"""ConvNeXt: counts of torchvision, multiply-adds of its own metadata."""

from typing import Any

from poc.tests.helpers.libraries.convnext_models import DEPTHS, WIDTHS

from .row import Architecture, Counts, Reference, Small, about_billions

NARROW: dict[str, Any] = {"depths": DEPTHS, "widths": WIDTHS}
# A branch that every example keeps, or none, leaves nothing to compare.
DROPPING: dict[str, Any] = {**NARROW, "stochastic_depth": 0.4}
# TensorFlow's `gelu` divides by a root of 2 in float32's digits: it is 1e-9 off.
OF_KERAS: dict[str, Any] = {"forward": 1e-8, "backward": 1e-7}
STILL: dict[str, Any] = {"stochastic_depth": 0.0}
SMALL_IMAGES = (64, 40, 3)


def reference(framework: Any, build: str, scheme: str, **fields: Any) -> Reference:
    options = {**NARROW, **STILL, **fields.pop("options", {})}
    return Reference(
        framework=framework,
        build=build,
        scheme=scheme,
        options=options,
        sides=(224, 75),
        **fields,
    )


def published(framework: Any, build: str, scheme: str, **fields: Any) -> Reference:
    """The net of the publication's own size."""
    return Reference(
        framework=framework, build=build, scheme=scheme, options=STILL, is_slow=True, **fields
    )


def large(model: str, count: int, billions: float) -> Architecture:
    small = Small(
        options={"widths": (4, 6, 8, 10), "layer_scale": 0.5},
        input_shape=(33, 40, 3),
        climb="calm",
        is_slow=True,
    )
    return Architecture(
        model=model, counts=Counts(count, count), macs=about_billions(billions), small=small
    )


ROWS = {
    # The publication's factors: a branch is a millionth of its sum. What its gradients are compared
    # with is the largest of their own tensor, so it is judged as strictly as any other; in the
    # logits it would hide. The row after this one shows it there.
    "convnext_tiny": Architecture(
        model="convnext_tiny",
        counts=Counts(28_589_128, 28_589_128),
        macs=about_billions(4.456),
        taps={
            "stage1": (56, 56, 96),
            "stage2": (28, 28, 192),
            "stage3": (14, 14, 384),
            "stage4": (7, 7, 768),
        },
        small=Small(options=DROPPING, input_shape=SMALL_IMAGES, climb="whole"),
        references=(
            reference("torch", "convnext torchvision", "torchvision"),
            reference("torch", "convnext timm", "timm"),
            reference("torch", "convnext transformers", "transformers"),
            reference("tf", "convnext narrow", "keras", **OF_KERAS),
            published("torch", "convnext_tiny", "torchvision", sides=(224, 75)),
            # Keras compiles each grouped convolution; at 224 its gradient took over 11 minutes.
            published("tf", "ConvNeXtTiny", "keras", sides=(96,), **OF_KERAS),
        ),
    ),
    "convnext_tiny whole branches": Architecture(
        model="convnext_tiny",
        options={"layer_scale": 1.0},
        small=Small(options=DROPPING, input_shape=SMALL_IMAGES, climb="whole"),
    ),
    "convnext_tiny without factors": Architecture(
        model="convnext_tiny",
        options={"layer_scale": 0.0},
        small=Small(options=NARROW, input_shape=SMALL_IMAGES, climb="whole"),
    ),
    "convnext_tiny published sizes": Architecture(
        model="convnext_tiny",
        small=Small(input_shape=(64, 64, 3), climb="one step", is_slow=True),
    ),
    "convnext_small": large("convnext_small", 50_223_688, 8.684),
    "convnext_base": large("convnext_base", 88_591_464, 15.355),
}
