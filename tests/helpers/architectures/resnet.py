"""ResNets: counts of torchvision and keras.applications, of the paper and of L2T-ww's code."""

from typing import Any, Literal

from .row import Architecture, Counts, Shape, Small, Twin, about_billions, about_millions

V1: dict[str, Any] = {"stride_on": "1x1"}
KERAS: dict[str, Any] = {"lineage": "keras"}
TWO_BLOCKS: dict[str, Any] = {"blocks_per_stage": 2, "width": 4}


def narrow(input_shape: Shape = (33, 40, 3), **options: Any) -> Small:
    return Small(
        options={"width": 4, **options}, input_shape=input_shape, climb="calm", mode="eager"
    )


def torchvision_twin(build: str) -> Twin:
    return Twin(framework="torch", build=build, sides=(64, 75))


CIFAR_32 = Architecture(
    model="resnet32_cifar",
    input_shape=(32, 32, 3),
    num_classes=10,
    counts=Counts(469_386, 466_922),
    macs=about_millions(69.12),
    taps={"block4": (32, 32, 16), "block9": (16, 16, 32), "block14": (8, 8, 64)},
    small=Small(options=TWO_BLOCKS, input_shape=(13, 12, 3), climb="whole"),
)


def small_cifar(mode: Literal["default", "eager"], **options: Any) -> Architecture:
    """A variant of the net above, which nobody counts."""
    small = Small(input_shape=(9, 12, 3), climb="calm", mode=mode)
    return Architecture(model="resnet32_cifar", options=options, small=small)


ROWS = {
    "resnet18": Architecture(
        model="resnet18",
        counts=Counts(11_699_112, 11_689_512),
        macs=about_billions(1.814),
        small=narrow(),
        twin=torchvision_twin("resnet18"),
    ),
    "resnet34": Architecture(
        model="resnet34",
        counts=Counts(21_814_696, 21_797_672),
        macs=about_billions(3.664),
        small=narrow((12, 9, 3), stem="3x3"),
        twin=torchvision_twin("resnet34"),
    ),
    "resnet50": Architecture(
        model="resnet50",
        counts=Counts(25_610_152, 25_557_032),
        macs=about_billions(4.089),
        small=narrow(),
        twin=torchvision_twin("resnet50"),
    ),
    "resnet50 v1": Architecture(
        model="resnet50", options=V1, macs=about_billions(3.858), small=narrow()
    ),
    "resnet50 keras": Architecture(
        model="resnet50",
        options=KERAS,
        counts=Counts(25_636_712, 25_583_592),
        small=narrow(),
        twin=Twin(framework="tf", build="ResNet50", sides=(64, 75)),
    ),
    "resnet101": Architecture(
        model="resnet101",
        counts=Counts(44_654_504, 44_549_160),
        macs=about_billions(7.801),
        small=narrow(),
    ),
    "resnet101 v1": Architecture(model="resnet101", options=V1, macs=about_billions(7.570)),
    "resnet101 keras": Architecture(
        model="resnet101", options=KERAS, counts=Counts(44_707_176, 44_601_832)
    ),
    "resnet152": Architecture(
        model="resnet152",
        counts=Counts(60_344_232, 60_192_808),
        macs=about_billions(11.514),
        small=narrow(),
    ),
    "resnet152 v1": Architecture(model="resnet152", options=V1, macs=about_billions(11.282)),
    "resnet152 keras": Architecture(
        model="resnet152", options=KERAS, counts=Counts(60_419_944, 60_268_520)
    ),
    "resnet50v2": Architecture(
        model="resnet50v2",
        counts=Counts(25_613_800, 25_568_360),
        small=Small(options={"width": 4}, input_shape=(33, 40, 3), climb="calm", mode="default"),
        twin=Twin(framework="tf", build="ResNet50V2", sides=(64, 75)),
    ),
    "resnet101v2": Architecture(
        model="resnet101v2", counts=Counts(44_675_560, 44_577_896), small=narrow()
    ),
    "resnet152v2": Architecture(
        model="resnet152v2", counts=Counts(60_380_648, 60_236_904), small=narrow()
    ),
    "resnext101_32x8d": Architecture(
        model="resnext101_32x8d",
        counts=Counts(88_994_216, 88_791_336),
        small=narrow(),
        twin=torchvision_twin("resnext101_32x8d"),
    ),
    "resnext101_32x48d": Architecture(
        model="resnext101_32x48d", counts=Counts(829_264_296, 828_411_176), small=narrow()
    ),
    "resnext101_32x48d head": Architecture(
        model="resnext101_32x48d",
        num_classes=120,
        trainable="head",
        counts=Counts(827_461_176, 826_608_056),
        num_trainable=245_880,
    ),
    "resnet32_cifar 10": CIFAR_32,
    "resnet32_cifar 100": CIFAR_32.at(100, Counts(475_236, 472_772)),
    "resnet32_cifar 200": CIFAR_32.at(200, Counts(481_736, 479_272)),
    "resnet32_cifar eager": small_cifar("eager", **TWO_BLOCKS),
    "resnet32_cifar plain": small_cifar("eager", blocks_per_stage=1, shortcut="none"),
    "resnet32_cifar pre-activation": small_cifar("eager", **TWO_BLOCKS, activation="pre"),
    "resnet32_cifar stochastic depth by batch": small_cifar(
        "default", **TWO_BLOCKS, stochastic_depth="batch"
    ),
    "resnet32_cifar stochastic depth by row": small_cifar(
        "default", **TWO_BLOCKS, stochastic_depth="row", survival_scaling="train"
    ),
    "highway": Architecture(
        model="highway",
        small=Small(
            options={"repeats": 2, "width": 4},
            input_shape=(9, 12, 3),
            climb="calm",
            mode="default",
        ),
    ),
}
