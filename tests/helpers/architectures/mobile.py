"""MobileNets and EfficientNets: counts of Keras, torchvision and TensorFlow's own files."""

from typing import Any, Literal

from .row import Architecture, Counts, Reference, Small, about_millions, tap_sizes

Lineage = Literal["keras", "torchvision"]
SMALL_IMAGES = (65, 64, 3)
CALM: dict[str, Any] = {"dropout": 0.0, "drop_connect": 0.0}
# Variant -> image side, learnable, running statistics, multiply-adds in millions, Keras' total
# where it is known: 7 more, the statistics of its in-graph normalisation, which is the data's task
# here. Running statistics that a publication does not print: its total less 7.
EFFICIENTNETS: dict[str, tuple[int, int, int, float | None, int | None]] = {
    "b0": (224, 5_288_548, 42_016, 386, 5_330_571),
    "b1": (240, 7_794_184, 62_048, None, None),
    "b2": (260, 9_109_994, 67_568, None, None),
    "b3": (300, 12_233_232, 87_296, None, None),
    "b4": (380, 19_341_616, 125_200, 4390, 19_466_823),
    "b5": (456, 30_389_784, 172_736, None, None),
    "b6": (528, 43_040_704, 224_432, None, None),
    "b7": (600, 66_347_960, 310_720, 37_700, 66_658_687),
}
# Climbed in torchvision's lineage, other variants in Keras'; B0 is small enough for both.
TORCHVISION_SMALL = ("b3", "b5", "b7")
REFERENCES: dict[str, Reference] = {
    "keras": Reference(framework="tf", build="EfficientNetB0", scheme="keras", options=CALM),
    "torchvision": Reference(
        framework="torch", build="efficientnet_b0", scheme="torchvision", options=CALM
    ),
}


def of_timm(build: str) -> Reference:
    return Reference(framework="torch", build=f"timm {build}", scheme="timm", options=CALM)


def small_efficientnet(variant: str, lineage: Lineage) -> Small | None:
    if variant == "b0":
        return Small(
            options={"width": 0.2},
            input_shape=SMALL_IMAGES,
            climb="whole",
            unjudged=("adam",),
            is_slow=True,
        )
    if (lineage == "torchvision") != (variant in TORCHVISION_SMALL):
        return None
    # A branch that no example drops makes the gradient of its last beta zero, by chance.
    options = {"width": 0.2, "drop_connect": 0.0}
    return Small(options=options, input_shape=(33, 40, 3), climb="calm", mode="eager")


def efficientnet(variant: str, lineage: Lineage) -> Architecture:
    side, learnable, running, millions, keras = EFFICIENTNETS[variant]
    return Architecture(
        model=f"efficientnet_{variant}",
        options={"lineage": lineage},
        input_shape=(side, side, 3),
        counts=Counts(learnable + running, learnable, keras if lineage == "keras" else None),
        macs=about_millions(millions) if millions else None,
        small=small_efficientnet(variant, lineage),
        references=(REFERENCES[lineage],) if variant == "b0" else (),
    )


def efficientnet_source(variant: str, *sizes: tuple[int, int]) -> Architecture:
    """As a teacher: the lineage that nobody names, images of 224x224."""
    _, learnable, running, *_ = EFFICIENTNETS[variant]
    return Architecture(
        model=f"efficientnet_{variant}",
        counts=Counts(learnable + running, learnable),
        taps=tap_sizes("reduction", 1, *sizes),
    )


# Learnable values, running statistics, multiply-adds in millions (torchvision's metadata).
MOBILENETS_V3: dict[str, tuple[int, int, float]] = {
    "small": (2_542_856, 12_112, 56.5),
    "large": (5_483_032, 24_400, 216.6),
}


def mobilenet_v3(variant: str, lineage: Lineage) -> Architecture:
    learnable, running, millions = MOBILENETS_V3[variant]
    framework: Literal["tf", "torch"] = "tf" if lineage == "keras" else "torch"
    keras_name = f"MobileNetV3{variant.title()}"
    build = keras_name if lineage == "keras" else f"mobilenet_v3_{variant}"
    return Architecture(
        model=f"mobilenet_v3_{variant}",
        options={"lineage": lineage},
        counts=Counts(learnable + running, learnable),
        macs=about_millions(millions),
        small=Small(
            options={"width": 0.25},
            input_shape=SMALL_IMAGES,
            climb="whole",
            is_slow=variant == "large",
        ),
        references=(
            Reference(
                framework=framework,
                build=build,
                scheme=lineage,
                options={"dropout": 0.0},
                sides=(224, 75),
                is_slow=variant == "large",
                # The gradient of PyTorch's hard sigmoid has float32's 1 / 6.
                backward=1e-9 if lineage == "keras" else 1e-7,
            ),
        ),
    )


ROWS = {
    "mobilenet_v2 19 classes": Architecture(
        model="mobilenet_v2",
        input_shape=(160, 160, 3),
        num_classes=19,
        counts=Counts(2_282_323, 2_282_323 - 34_112),
    ),
    "mobilenet_v2 keras": Architecture(
        model="mobilenet_v2",
        options={"lineage": "keras"},
        counts=Counts(3_538_984, 3_504_872),
        macs=about_millions(300.8),
        small=Small(
            options={"width": 0.125, "dropout": 0.2},
            input_shape=SMALL_IMAGES,
            climb="whole",
            unjudged=("adam",),
            is_slow=True,
        ),
        references=(
            Reference(framework="tf", build="MobileNetV2", scheme="keras"),
            # torchvision's, changed to Keras' padding and epsilon.
            Reference(framework="torch", build="mobilenet_v2_as_keras", scheme="torchvision"),
        ),
    ),
    # torchvision counts what it learns alone.
    "mobilenet_v2 torchvision": Architecture(
        model="mobilenet_v2",
        options={"lineage": "torchvision"},
        counts=Counts(3_504_872 + 34_112, 3_504_872),
        macs=about_millions(300.8),
        small=Small(
            options={"width": 0.125},
            input_shape=SMALL_IMAGES,
            climb="whole",
            unjudged=("adam",),
            is_slow=True,
        ),
        references=(
            Reference(
                framework="torch",
                build="mobilenet_v2",
                scheme="torchvision",
                options={"dropout": 0.0},
            ),
        ),
    ),
    **{
        f"mobilenet_v3_{variant} {lineage}": mobilenet_v3(variant, lineage)
        for variant in MOBILENETS_V3
        for lineage in ("torchvision", "keras")
    },
    "efficientnet_lite0": Architecture(
        model="efficientnet_lite0",
        counts=Counts(4_652_008 + 42_016, 4_652_008),
        macs=about_millions(385),
        # A branch that no example drops makes the gradient of its last beta zero, by chance, and
        # Adam amplifies the rounding that is left. The small B0 drops branches.
        small=Small(
            options={"width": 0.2, "drop_connect": 0.0},
            input_shape=SMALL_IMAGES,
            climb="whole",
            unjudged=("adam",),
            is_slow=True,
        ),
        references=(of_timm("tf_efficientnet_lite0"),),
    ),
    # timm's count is that of what it learns.
    "efficientnet_lite0 torchvision": Architecture(
        model="efficientnet_lite0",
        options={"lineage": "torchvision"},
        counts=Counts(4_652_008 + 42_016, 4_652_008),
        references=(of_timm("efficientnet_lite0"),),
    ),
    **{
        f"efficientnet_{variant} {lineage}": efficientnet(variant, lineage)
        for variant in EFFICIENTNETS
        for lineage in ("keras", "torchvision")
    },
    "efficientnet_b0 at 224": efficientnet_source(
        "b0", (16, 112), (24, 56), (40, 28), (112, 14), (1280, 7)
    ),
    "efficientnet_b4 at 224": efficientnet_source(
        "b4", (24, 112), (32, 56), (56, 28), (160, 14), (1792, 7)
    ),
    "efficientnet_b7 at 224": efficientnet_source(
        "b7", (32, 112), (48, 56), (80, 28), (224, 14), (2560, 7)
    ),
}
