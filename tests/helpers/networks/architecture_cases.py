"""The tables of architectures: published counts, and a small form of each for the parity ladder.

Counts are those of keras.applications and torchvision, of the papers, and of the course that prints
its GoogLeNet; `total` holds running statistics, `learnable` does not. A new model is a row in each.
"""

from typing import Any, NamedTuple

IMAGENET = (224, 224, 3)
LARGE = (299, 299, 3)
CIFAR = (32, 32, 3)


class Count(NamedTuple):
    """What one built model must count."""

    model: str
    options: dict[str, Any]
    input_shape: tuple[int, int, int]
    num_classes: int
    total: int
    learnable: int
    trainable: str = "all"
    trainable_count: int | None = None


COUNTS = {
    "googlenet": Count("googlenet", {}, (28, 28, 1), 10, 5_978_554, 5_978_042),
    "googlenet pool 2": Count("googlenet", {"pool_size": 2}, (28, 28, 1), 10, 5_978_554, 5_978_042),
    "googlenet imagenet": Count(
        "googlenet", {"batch_norm": "none"}, IMAGENET, 1000, 6_998_552, 6_998_552
    ),
    "inception_v3": Count("inception_v3", {}, LARGE, 1000, 23_851_784, 23_817_352),
    "inception_v3 head": Count("inception_v3", {}, LARGE, 2, 21_806_882, 21_772_450, "head", 4_098),
    "inception_resnet_v1": Count("inception_resnet_v1", {}, LARGE, 1000, 22_783_368, 22_756_328),
    "inception_resnet_v1 beta": Count(
        "inception_resnet_v1", {"gamma": False}, LARGE, 1000, 22_769_848, 22_742_808
    ),
    "inception_resnet_v2": Count("inception_resnet_v2", {}, LARGE, 1000, 55_873_736, 55_813_192),
    "resnet18": Count("resnet18", {}, IMAGENET, 1000, 11_699_112, 11_689_512),
    "resnet34": Count("resnet34", {}, IMAGENET, 1000, 21_814_696, 21_797_672),
    "resnet50": Count("resnet50", {}, IMAGENET, 1000, 25_610_152, 25_557_032),
    "resnet101": Count("resnet101", {}, IMAGENET, 1000, 44_654_504, 44_549_160),
    "resnet152": Count("resnet152", {}, IMAGENET, 1000, 60_344_232, 60_192_808),
    "resnet50 keras": Count(
        "resnet50", {"lineage": "keras"}, IMAGENET, 1000, 25_636_712, 25_583_592
    ),
    "resnet101 keras": Count(
        "resnet101", {"lineage": "keras"}, IMAGENET, 1000, 44_707_176, 44_601_832
    ),
    "resnet152 keras": Count(
        "resnet152", {"lineage": "keras"}, IMAGENET, 1000, 60_419_944, 60_268_520
    ),
    "resnet50v2": Count("resnet50v2", {}, IMAGENET, 1000, 25_613_800, 25_568_360),
    "resnet101v2": Count("resnet101v2", {}, IMAGENET, 1000, 44_675_560, 44_577_896),
    "resnet152v2": Count("resnet152v2", {}, IMAGENET, 1000, 60_380_648, 60_236_904),
    "resnext101_32x8d": Count("resnext101_32x8d", {}, IMAGENET, 1000, 88_994_216, 88_791_336),
    "resnext101_32x48d": Count("resnext101_32x48d", {}, IMAGENET, 1000, 829_264_296, 828_411_176),
    "resnext101_32x48d head": Count(
        "resnext101_32x48d", {}, IMAGENET, 120, 827_461_176, 826_608_056, "head", 245_880
    ),
    "resnet32_cifar 10": Count("resnet32_cifar", {}, CIFAR, 10, 469_386, 466_922),
    "resnet32_cifar 100": Count("resnet32_cifar", {}, CIFAR, 100, 475_236, 472_772),
    "resnet32_cifar 200": Count("resnet32_cifar", {}, CIFAR, 200, 481_736, 479_272),
}

# Multiply-adds of one image, in units of 1e9 and to the digits that the publications print.
GIGA_MACS = {
    "resnet18": ("resnet18", {}, IMAGENET, 1.814),
    "resnet34": ("resnet34", {}, IMAGENET, 3.664),
    "resnet50 v1": ("resnet50", {"stride_on": "1x1"}, IMAGENET, 3.858),
    "resnet50": ("resnet50", {}, IMAGENET, 4.089),
    "resnet101 v1": ("resnet101", {"stride_on": "1x1"}, IMAGENET, 7.570),
    "resnet101": ("resnet101", {}, IMAGENET, 7.801),
    "resnet152 v1": ("resnet152", {"stride_on": "1x1"}, IMAGENET, 11.282),
    "resnet152": ("resnet152", {}, IMAGENET, 11.514),
    "googlenet": ("googlenet", {}, (28, 28, 1), 0.028774656),
}

# The same topology with fewer channels: what a rung can find does not depend on their number.
# Name of the row -> (model, options, (height, width, channels)); maps are not square.
NARROW = {"width": 4}
SMALL = {
    "googlenet": ("googlenet", {}, (28, 27, 1)),
    "googlenet auxiliary": ("googlenet", {"auxiliary": True, "pool_size": 2}, (28, 28, 1)),
    "inception_module": ("inception_module", {"form": "reduced"}, (6, 5, 4)),
    "inception_v3": ("inception_v3", {"width": 0.05, "dropout": 0.2}, (75, 79, 3)),
    "inception_resnet_v1": (
        "inception_resnet_v1",
        {"width": 0.05, "repeats": [1, 2, 1]},
        (79, 75, 3),
    ),
    "inception_resnet_v2": (
        "inception_resnet_v2",
        {"width": 0.05, "repeats": [1, 2, 2]},
        (75, 79, 3),
    ),
    "resnet18": ("resnet18", NARROW, (33, 40, 3)),
    "resnet34": ("resnet34", {**NARROW, "stem": "3x3"}, (12, 9, 3)),
    "resnet50": ("resnet50", NARROW, (33, 40, 3)),
    "resnet50 v1": ("resnet50", {**NARROW, "stride_on": "1x1"}, (33, 40, 3)),
    "resnet50 keras": ("resnet50", {**NARROW, "lineage": "keras"}, (33, 40, 3)),
    "resnet50v2": ("resnet50v2", NARROW, (33, 40, 3)),
    "resnet101": ("resnet101", NARROW, (33, 40, 3)),
    "resnet152": ("resnet152", NARROW, (33, 40, 3)),
    "resnet101v2": ("resnet101v2", NARROW, (33, 40, 3)),
    "resnet152v2": ("resnet152v2", NARROW, (33, 40, 3)),
    "resnext101_32x8d": ("resnext101_32x8d", NARROW, (33, 40, 3)),
    "resnext101_32x48d": ("resnext101_32x48d", NARROW, (33, 40, 3)),
    "resnet32_cifar": ("resnet32_cifar", {"blocks_per_stage": 2, "width": 4}, (9, 12, 3)),
    "plain": ("resnet32_cifar", {"blocks_per_stage": 1, "shortcut": "none"}, (9, 12, 3)),
    "pre-activation": (
        "resnet32_cifar",
        {"blocks_per_stage": 2, "width": 4, "activation": "pre"},
        (9, 12, 3),
    ),
    "stochastic depth by batch": (
        "resnet32_cifar",
        {"blocks_per_stage": 2, "width": 4, "stochastic_depth": "batch"},
        (9, 12, 3),
    ),
    "stochastic depth by row": (
        "resnet32_cifar",
        {
            "blocks_per_stage": 2,
            "width": 4,
            "stochastic_depth": "row",
            "survival_scaling": "train",
        },
        (9, 12, 3),
    ),
    "highway": ("highway", {"repeats": 2, "width": 4}, (9, 12, 3)),
    # B0, whole, is a row of `LADDER_CASES`.
    **{
        f"efficientnet_b{index}": (
            f"efficientnet_b{index}",
            # A branch that no example drops makes the gradient of its last beta zero, by chance.
            {
                "width": 0.2,
                "lineage": "torchvision" if index in (3, 5, 7) else "keras",
                "drop_connect": 0.0,
            },
            (33, 40, 3),
        )
        for index in range(1, 8)
    },
}
# Residual branches at full strength, one after the other, amplify rounding: a float32 gradient of
# ResNet-101's small form is 30 % off its own float64 one, in one framework alone; at this share of
# their strength it is 5e-5 off. Gradients are judged at full strength in float64, all else calmed.
CALM = 0.3
# Forty convolutions in a row, no branch to calm: in either framework alone a float32 gradient is 1
# to 10 % off its float64 one, and four steps in float64 amplify 1e-15 to 4e-8. Judged are float32's
# logits, and in float64 all rungs with one step.
CHAOTIC = ("inception_v3",)
