"""VGG nets and the small CNN: counts of torchvision, Keras and the studies of L2T-ww."""

from typing import Any

from .row import Architecture, Counts, Reference, Small, about_millions, tap_sizes

GLOBAL_AVERAGE: dict[str, Any] = {"head": "global_average"}
TAPS = tap_sizes("reduction", 1, (64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
# torchvision's at an eighth of every width.
NARROW: dict[str, Any] = {"dropout": 0.0, "width": 0.125}
VGG9 = Architecture(
    model="vgg9_bn",
    input_shape=(32, 32, 3),
    num_classes=10,
    counts=Counts(9_231_114 + 5504, 9_231_114),
    macs=about_millions(152.8),
    taps=tap_sizes("reduction", 1, (64, 32), (128, 16), (256, 8), (512, 4), (512, 2)),
    small=Small(options={"width": 0.05}, input_shape=(34, 32, 3), climb="whole"),
)

ROWS = {
    "vgg9_bn 10": VGG9,
    "vgg9_bn 100": VGG9.at(100, Counts(9_277_284 + 5504, 9_277_284)),
    "vgg16": Architecture(
        model="vgg16",
        counts=Counts(138_357_544, 138_357_544),
        taps=TAPS,
        small=Small(options={"width": 0.05}, input_shape=(64, 32, 3), climb="whole"),
        references=(
            Reference(framework="torch", build="vgg16", scheme="torchvision", options=NARROW),
            Reference(
                framework="torch",
                build="vgg16_stock",
                scheme="torchvision",
                options={"dropout": 0.0},
                sides=(224, 225),
                is_slow=True,
            ),
            Reference(
                framework="tf",
                build="VGG16",
                scheme="keras",
                options={"dropout": 0.0},
                sides=(32, 33),
                is_slow=True,
            ),
        ),
    ),
    "vgg16 global average": Architecture(
        model="vgg16",
        options=GLOBAL_AVERAGE,
        num_classes=120,
        counts=Counts(14_776_248, 14_776_248),
        macs=about_millions(15_350),
        taps=TAPS,
    ),
    "vgg16_bn": Architecture(
        model="vgg16_bn",
        counts=Counts(138_365_992 + 8448, 138_365_992),
        references=(
            Reference(framework="torch", build="vgg16_bn", scheme="torchvision", options=NARROW),
        ),
    ),
    "vgg16_bn global average": Architecture(
        model="vgg16_bn",
        options=GLOBAL_AVERAGE,
        num_classes=120,
        counts=Counts(14_784_696 + 8448, 14_784_696),
        taps=TAPS,
        small=Small(options={"width": 0.05}, input_shape=(64, 33, 3), climb="whole"),
    ),
    "simple_cnn": Architecture(
        model="simple_cnn",
        input_shape=(256, 256, 3),
        num_classes=120,
        counts=Counts(109_176 + 448, 109_176),
        macs=about_millions(660.6),
        taps=tap_sizes("reduction", 1, (32, 256), (64, 128), (128, 64)),
        small=Small(options={"widths": [4, 5, 6]}, input_shape=(17, 16, 3), climb="whole"),
    ),
}
