"""Tables of architectures that the tests share; a new architecture is a row in each.

Expected numbers are published ones or hand calculation, never the output of the code under test.
"""

from dataclasses import dataclass, field
from typing import Any

from poc.shared.spec.run import RunSpec


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with its options, images and classes."""

    model: str
    options: dict[str, Any] = field(default_factory=dict)
    input_shape: tuple[int, int, int] = (224, 224, 3)
    num_classes: int = 1000

    def run(self, backend: str = "torch", **fields: Any) -> RunSpec:
        """The run spec that trains it."""
        return RunSpec.parse(
            {
                "method": "scratch",
                "backend": backend,
                "model": {"name": self.model, "options": self.options},
                "input_shape": self.input_shape,
                "num_classes": self.num_classes,
                **fields,
            },
            "",
        )


@dataclass(frozen=True, kw_only=True)
class Count(Case):
    """Published counts: what gradients reach, running statistics, multiply-adds in millions.

    The Keras total is the sum of the first two (EfficientNet in Keras: 7 more, the statistics of
    its in-graph normalisation, which is the data's task here).
    """

    trainable: int
    running: int
    million_macs: float | None = None
    taps: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def tap_sizes(prefix: str, first: int, *sizes: tuple[int, int]) -> dict[str, tuple[int, int, int]]:
    """(channels, side) of each tap, numbered from `first`."""
    return {
        f"{prefix}{index}": (side, side, channels)
        for index, (channels, side) in enumerate(sizes, start=first)
    }


GAP = {"head": "global_average"}
VGG_TAPS = tap_sizes("reduction", 1, (64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
EFFICIENTNET_PARAMETERS = {
    "b0": (224, 5_288_548, 42_016, 386),
    "b1": (240, 7_794_184, 62_048, None),
    "b2": (260, 9_109_994, 67_568, None),
    "b3": (300, 12_233_232, 87_296, None),
    "b4": (380, 19_341_616, 125_200, 4390),
    "b5": (456, 30_389_784, 172_736, None),
    "b6": (528, 43_040_704, 224_432, None),
    "b7": (600, 66_347_960, 310_720, 37_700),
}
# Running statistics where a publication does not print them: keras.applications' own total - 7.
KERAS_TOTALS = {"b0": 5_330_571, "b4": 19_466_823, "b7": 66_658_687}

COUNTS: dict[str, Count] = {
    **{
        f"CIFAR ResNet-32, {classes} classes": Count(
            model="resnet32_cifar",
            input_shape=(32, 32, 3),
            num_classes=classes,
            trainable=trainable,
            running=2464,
            million_macs=69.12,
            taps={"block4": (32, 32, 16), "block9": (16, 16, 32), "block14": (8, 8, 64)},
        )
        for classes, trainable in ((10, 466_922), (100, 472_772), (200, 479_272))
    },
    **{
        f"VGG9-BN, {classes} classes": Count(
            model="vgg9_bn",
            input_shape=(32, 32, 3),
            num_classes=classes,
            trainable=trainable,
            running=5504,
            million_macs=152.8,
            taps=tap_sizes("reduction", 1, (64, 32), (128, 16), (256, 8), (512, 4), (512, 2)),
        )
        for classes, trainable in ((10, 9_231_114), (100, 9_277_284))
    },
    "VGG16": Count(model="vgg16", trainable=138_357_544, running=0, taps=VGG_TAPS),
    "VGG16-BN": Count(model="vgg16_bn", trainable=138_365_992, running=8448),
    "VGG16, global average": Count(
        model="vgg16",
        options=GAP,
        num_classes=120,
        trainable=14_776_248,
        running=0,
        million_macs=15_350,
        taps=VGG_TAPS,
    ),
    "VGG16-BN, global average": Count(
        model="vgg16_bn",
        options=GAP,
        num_classes=120,
        trainable=14_784_696,
        running=8448,
        taps=VGG_TAPS,
    ),
    "simple CNN": Count(
        model="simple_cnn",
        input_shape=(256, 256, 3),
        num_classes=120,
        trainable=109_176,
        running=448,
        million_macs=660.6,
        taps=tap_sizes("reduction", 1, (32, 256), (64, 128), (128, 64)),
    ),
    "MobileNetV2, 19 classes": Count(
        model="mobilenet_v2",
        input_shape=(160, 160, 3),
        num_classes=19,
        trainable=2_282_323 - 34_112,
        running=34_112,
    ),
    # 3,504,872 is torchvision's count, 3,538,984 Keras'.
    "MobileNetV2": Count(
        model="mobilenet_v2", trainable=3_504_872, running=34_112, million_macs=300.8
    ),
    "EfficientNet-Lite0": Count(
        model="efficientnet_lite0", trainable=4_652_008, running=42_016, million_macs=385
    ),
    **{
        f"EfficientNet-{variant.upper()}, {lineage}": Count(
            model=f"efficientnet_{variant}",
            options={"lineage": lineage},
            input_shape=(side, side, 3),
            trainable=trainable,
            running=running,
            million_macs=macs,
        )
        for variant, (side, trainable, running, macs) in EFFICIENTNET_PARAMETERS.items()
        for lineage in ("keras", "torchvision")
    },
    "EfficientNet-B0 as a source": Count(
        model="efficientnet_b0",
        trainable=5_288_548,
        running=42_016,
        taps=tap_sizes("reduction", 1, (16, 112), (24, 56), (40, 28), (112, 14), (1280, 7)),
    ),
    "EfficientNet-B4 as a source": Count(
        model="efficientnet_b4",
        trainable=19_341_616,
        running=125_200,
        taps=tap_sizes("reduction", 1, (24, 112), (32, 56), (56, 28), (160, 14), (1792, 7)),
    ),
    "EfficientNet-B7 as a source": Count(
        model="efficientnet_b7",
        trainable=66_347_960,
        running=310_720,
        taps=tap_sizes("reduction", 1, (32, 112), (48, 56), (80, 28), (224, 14), (2560, 7)),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The same function in somebody else's library, compared in float64 for copied weights.

    `framework` and `build` name a function of `reference_models.py`; `scheme` names the tensors.
    """

    model: str
    options: dict[str, Any]
    framework: str
    build: str
    scheme: str
    sides: tuple[int, int] = (64, 65)
    is_slow: bool = False

    def case(self, side: int) -> Case:
        """The model for images of this side."""
        shape = (side, side, 3)
        return Case(
            model=self.model,
            options=self.options,
            input_shape=shape,
            num_classes=NUM_REFERENCE_CLASSES,
        )


NUM_REFERENCE_CLASSES = 7
CALM = {"dropout": 0.0, "drop_connect": 0.0}
REFERENCES: dict[str, Reference] = {
    "VGG16, torchvision": Reference(
        model="vgg16",
        options={"dropout": 0.0, "width": 0.125},
        framework="torch",
        build="vgg16",
        scheme="torchvision",
    ),
    "VGG16-BN, torchvision": Reference(
        model="vgg16_bn",
        options={"dropout": 0.0, "width": 0.125},
        framework="torch",
        build="vgg16_bn",
        scheme="torchvision",
    ),
    "VGG16, torchvision unchanged": Reference(
        model="vgg16",
        options={"dropout": 0.0},
        framework="torch",
        build="vgg16_stock",
        scheme="torchvision",
        sides=(224, 225),
        is_slow=True,
    ),
    "MobileNetV2, torchvision": Reference(
        model="mobilenet_v2",
        options={"lineage": "torchvision", "dropout": 0.0},
        framework="torch",
        build="mobilenet_v2",
        scheme="torchvision",
    ),
    "MobileNetV2, torchvision changed to Keras' padding and epsilon": Reference(
        model="mobilenet_v2",
        options={"lineage": "keras"},
        framework="torch",
        build="mobilenet_v2_as_keras",
        scheme="torchvision",
    ),
    "EfficientNet-B0, torchvision": Reference(
        model="efficientnet_b0",
        options={"lineage": "torchvision", **CALM},
        framework="torch",
        build="efficientnet_b0",
        scheme="torchvision",
    ),
    "VGG16, Keras": Reference(
        model="vgg16",
        options={"dropout": 0.0},
        framework="tf",
        build="VGG16",
        scheme="keras",
        sides=(32, 33),
        is_slow=True,
    ),
    "MobileNetV2, Keras": Reference(
        model="mobilenet_v2",
        options={"lineage": "keras"},
        framework="tf",
        build="MobileNetV2",
        scheme="keras",
    ),
    "EfficientNet-B0, Keras": Reference(
        model="efficientnet_b0",
        options={"lineage": "keras", **CALM},
        framework="tf",
        build="EfficientNetB0",
        scheme="keras",
    ),
}

# Small forms for the parity ladder, noise on; the topology is the whole one.
LADDER_CASES: dict[str, Case] = {
    "resnet32_cifar": Case(
        model="resnet32_cifar",
        options={"blocks_per_stage": 2, "width": 4},
        input_shape=(13, 12, 3),
        num_classes=3,
    ),
    "vgg9_bn": Case(
        model="vgg9_bn", options={"width": 0.05}, input_shape=(34, 32, 3), num_classes=3
    ),
    "vgg16": Case(model="vgg16", options={"width": 0.05}, input_shape=(64, 32, 3), num_classes=3),
    "vgg16_bn": Case(
        model="vgg16_bn", options={"width": 0.05, **GAP}, input_shape=(64, 33, 3), num_classes=3
    ),
    "simple_cnn": Case(
        model="simple_cnn", options={"widths": [4, 5, 6]}, input_shape=(17, 16, 3), num_classes=3
    ),
    "mobilenet_v2": Case(
        model="mobilenet_v2",
        options={"width": 0.125, "dropout": 0.2},
        input_shape=(65, 64, 3),
        num_classes=3,
    ),
    "mobilenet_v2 torchvision": Case(
        model="mobilenet_v2",
        options={"width": 0.125, "lineage": "torchvision"},
        input_shape=(65, 64, 3),
        num_classes=3,
    ),
    "efficientnet_lite0": Case(model="efficientnet_lite0", input_shape=(65, 64, 3), num_classes=3),
    "efficientnet_b0": Case(model="efficientnet_b0", input_shape=(65, 64, 3), num_classes=3),
    "efficientnet_b0 torchvision": Case(
        model="efficientnet_b0",
        options={"lineage": "torchvision"},
        input_shape=(65, 64, 3),
        num_classes=3,
    ),
}
