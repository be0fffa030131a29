"""GoogLeNet and the Inception nets: counts of a course's printed net, the papers and Keras."""

from .row import Architecture, Counts, Macs, Small, Twin

PRINTED = (28, 28, 1)
LARGE = (299, 299, 3)

ROWS = {
    "googlenet": Architecture(
        model="googlenet",
        input_shape=PRINTED,
        num_classes=10,
        counts=Counts(5_978_554, 5_978_042),
        macs=Macs(28_774_656),
        small=Small(input_shape=(28, 27, 1), climb="calm", mode="eager"),
    ),
    "googlenet pool 2": Architecture(
        model="googlenet",
        options={"pool_size": 2},
        input_shape=PRINTED,
        num_classes=10,
        counts=Counts(5_978_554, 5_978_042),
    ),
    "googlenet auxiliary": Architecture(
        model="googlenet",
        options={"auxiliary": True, "pool_size": 2},
        small=Small(input_shape=(28, 28, 1), climb="calm", mode="eager"),
    ),
    "googlenet imagenet": Architecture(
        model="googlenet", options={"batch_norm": "none"}, counts=Counts(6_998_552, 6_998_552)
    ),
    # Its multiply-adds, by hand: backends/test_architectures.
    "inception_module": Architecture(
        model="inception_module",
        options={"form": "reduced"},
        small=Small(input_shape=(6, 5, 4), climb="calm", mode="eager"),
    ),
    # Forty convolutions in a row, no branch to calm: in either framework alone a float32 gradient
    # is 1 to 10 % off its float64 one, and four steps in float64 amplify 1e-15 to 4e-8. Judged are
    # float32's logits, and in float64 all rungs with one step.
    "inception_v3": Architecture(
        model="inception_v3",
        input_shape=LARGE,
        counts=Counts(23_851_784, 23_817_352),
        small=Small(
            options={"width": 0.05, "dropout": 0.2},
            input_shape=(75, 79, 3),
            climb="one step",
            mode="eager",
        ),
        twin=Twin(framework="tf", build="InceptionV3", sides=(96, 75), order="numbered"),
    ),
    "inception_v3 head": Architecture(
        model="inception_v3",
        input_shape=LARGE,
        num_classes=2,
        trainable="head",
        counts=Counts(21_806_882, 21_772_450),
        num_trainable=4_098,
    ),
    "inception_resnet_v1": Architecture(
        model="inception_resnet_v1",
        input_shape=LARGE,
        counts=Counts(22_783_368, 22_756_328),
        small=Small(
            options={"width": 0.05, "repeats": [1, 2, 1]},
            input_shape=(79, 75, 3),
            climb="calm",
            mode="eager",
        ),
    ),
    "inception_resnet_v1 beta": Architecture(
        model="inception_resnet_v1",
        options={"gamma": False},
        input_shape=LARGE,
        counts=Counts(22_769_848, 22_742_808),
    ),
    "inception_resnet_v2": Architecture(
        model="inception_resnet_v2",
        input_shape=LARGE,
        counts=Counts(55_873_736, 55_813_192),
        small=Small(
            options={"width": 0.05, "repeats": [1, 2, 2]},
            input_shape=(75, 79, 3),
            climb="calm",
            mode="eager",
        ),
        twin=Twin(framework="tf", build="InceptionResNetV2", sides=(96, 75), order="numbered"),
    ),
}
