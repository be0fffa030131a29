"""DenseNet: counts of torchvision, Keras and the paper."""

from typing import Any

from .row import Architecture, Counts, Reference, Small, about_billions, tap_sizes

NARROW: dict[str, Any] = {"growth_rate": 6, "stem_filters": 8, "layers": [2, 3, 1, 2]}
KERAS: dict[str, Any] = {"lineage": "keras"}
CIFAR = (32, 32, 3)

ROWS = {
    "densenet121": Architecture(
        model="densenet121",
        counts=Counts(8_062_504, 7_978_856),
        macs=about_billions(2.834),
        taps=tap_sizes("stage", 1, (256, 56), (512, 28), (1024, 14), (1024, 7)),
        small=Small(
            options={"growth_rate": 3, "stem_filters": 4, "layers": [2, 1, 2], "dropout": 0.2},
            input_shape=(20, 24, 3),
            climb="whole",
            # Each channel of the stem's norm is normalised again by all that read it, so that its
            # gamma has almost no gradient: in float32 the rest is rounding. `densenet_cifar` has
            # the same layers and no such norm.
            precisions=("float64",),
        ),
        references=(
            Reference(
                framework="torch",
                build="densenet",
                scheme="torchvision",
                options=NARROW,
                sides=(64, 75),
            ),
        ),
    ),
    "densenet121 keras": Architecture(
        model="densenet121",
        options=KERAS,
        counts=Counts(8_062_504, 7_978_856),
        references=(
            Reference(
                framework="tf",
                build="DenseNet121",
                scheme="keras",
                sides=(64, 75),
                is_slow=True,
            ),
        ),
    ),
    # Running statistics by hand, two per channel: each layer normalises its input, of c channels,
    # and its 48 inner ones; a transition and the end normalise all channels.
    "densenet_cifar": Architecture(
        model="densenet_cifar",
        input_shape=CIFAR,
        num_classes=10,
        counts=Counts(176_122 + 5_088, 176_122),
        taps=tap_sizes("stage", 1, (96, 32), (120, 16), (132, 8)),
        small=Small(
            options={"depth": 16, "growth_rate": 3}, input_shape=(17, 16, 3), climb="whole"
        ),
    ),
    # The paper's table has 0.8 M, 15.3 M and 25.6 M.
    "densenet_cifar 100": Architecture(
        model="densenet_cifar",
        options={"depth": 100},
        input_shape=CIFAR,
        num_classes=10,
        counts=Counts(769_162 + 23_988, 769_162),
    ),
}
