"""LightLayers nets: the printed summaries of the chest X-ray study and the paper's tables.

The study's images are 299x299x3 of two classes; the paper is arXiv 2101.02268.
"""

from typing import Any

from .row import Architecture, Counts, Shape, Small

STUDY: dict[str, Any] = {"input_shape": (299, 299, 3), "num_classes": 2}
MNIST: dict[str, Any] = {"input_shape": (28, 28, 1), "num_classes": 10}
CIFAR = {"widths": [16, 32, 64]}
# `k` or another kind of layer -> total, learnable.
STUDY_COUNTS = {
    1: (2753, 2417),
    2: (4600, 4264),
    3: (6447, 6111),
    4: (8294, 7958),
    5: (10141, 9805),
}
MNIST_COUNTS: dict[int | str, tuple[int, int]] = {
    "conv2d": (18818, 18594),
    "separable": (3611, 3387),
    1: (2649, 2425),
    2: (4392, 4168),
    3: (6135, 5911),
    4: (7878, 7654),
    5: (9621, 9397),
    6: (11364, 11140),
}
CIFAR_COUNTS = {
    (10, "conv2d"): (76794, 76122),
    (10, "separable"): (14440, 13768),
    (10, 1): (5937, 5265),
    (10, 2): (9592, 8920),
    (10, 3): (13247, 12575),
    (10, 4): (16902, 16230),
    (10, 5): (20557, 19885),
    (100, "conv2d"): (82644, 81972),
    (100, "separable"): (20290, 19618),
    (100, 1): (6747, 6075),
    (100, 2): (10402, 9730),
    (100, 3): (14057, 13385),
    (100, 4): (17712, 17040),
    (100, 5): (21367, 20695),
}


def layer_options(layer: int | str) -> dict[str, Any]:
    """A number is the `k` of light layers."""
    return {"k": layer} if isinstance(layer, int) else {"layer": layer}


def layer_name(layer: int | str) -> str:
    return f"k={layer}" if isinstance(layer, int) else layer


def small(
    options: dict[str, Any], input_shape: Shape = (12, 10, 2), is_double: bool = False
) -> Small:
    precisions = ("float64",) if is_double else ("float64", "float32")
    return Small(
        options={"widths": [4, 6], **options},
        input_shape=input_shape,
        climb="strict",
        precisions=precisions,
    )


MNIST_SMALL = {
    3: small({"dropout": 0.25}),
    "conv2d": small({"dropout": 0.25}, is_double=True),
}
ROWS = {
    **{
        f"lightnet_residual study {layer_name(layer)}": Architecture(
            model="lightnet_residual",
            options=layer_options(layer),
            **STUDY,
            counts=Counts(*counts),
            small=small({"dropout": 0.5}) if layer == 2 else None,
        )
        for layer, counts in STUDY_COUNTS.items()
    },
    "conv2d_chain": Architecture(
        model="conv2d_chain",
        **STUDY,
        counts=Counts(31074, 30738),
        small=small({"dropout": 0.25}, (24, 22, 2)),
    ),
    "lightnet_residual study conv2d": Architecture(
        model="lightnet_residual",
        options={"layer": "conv2d"},
        **STUDY,
        counts=Counts(19642, 19306),
    ),
    "lightnet_residual study separable": Architecture(
        model="lightnet_residual",
        options={"layer": "separable"},
        **STUDY,
        counts=Counts(4352, 4016),
        small=small({}, is_double=True),
    ),
    **{
        f"lightnet_plain mnist {layer_name(layer)}": Architecture(
            model="lightnet_plain",
            options=layer_options(layer),
            **MNIST,
            counts=Counts(*counts),
            small=MNIST_SMALL.get(layer),
        )
        for layer, counts in MNIST_COUNTS.items()
    },
    **{
        f"lightnet_residual cifar{num_classes} {layer_name(layer)}": Architecture(
            model="lightnet_residual",
            options={
                **CIFAR,
                "head": "light_dense" if isinstance(layer, int) else "dense",
                **layer_options(layer),
            },
            input_shape=(32, 32, 3),
            num_classes=num_classes,
            counts=Counts(*counts),
        )
        for (num_classes, layer), counts in CIFAR_COUNTS.items()
    },
    "lightnet_plain reference": Architecture(
        model="lightnet_plain",
        options={"bias_initializer": "reference", "scale": "reference"},
        small=small({"k": 2}, is_double=True),
    ),
    "lightnet_residual no inner activation": Architecture(
        model="lightnet_residual",
        options={"inner_activation": "none", "head": "light_dense"},
        small=small({"widths": [4]}, is_double=True),
    ),
    "conv2d_chain light": Architecture(
        model="conv2d_chain",
        options={"layer": "light"},
        small=small({"widths": [3]}, (24, 22, 2), is_double=True),
    ),
}
