"""Published parameter counts, read off the models that each backend builds.

Sources: the printed summaries of the chest X-ray study (299x299x3, two classes) and the tables of
the LightLayers paper (arXiv 2101.02268); `total` counts running statistics.
"""

import math

import pytest

from poc.shared.engine.worker.operations import Operations

STUDY = {"input_shape": [299, 299, 3], "num_classes": 2}
MNIST = {"input_shape": [28, 28, 1], "num_classes": 10}
CIFAR = {"widths": [16, 32, 64]}


def study(k):
    return "lightnet_residual", {"k": k}, STUDY


def mnist(**options):
    return "lightnet_plain", options, MNIST


def cifar(num_classes, **options):
    head = "light_dense" if "k" in options else "dense"
    images = {"input_shape": [32, 32, 3], "num_classes": num_classes}
    return "lightnet_residual", {**CIFAR, "head": head, **options}, images


# (model, options, images), total, trainable
COUNTS = {
    "study k=1": (study(1), 2753, 2417),
    "study k=2": (study(2), 4600, 4264),
    "study k=3": (study(3), 6447, 6111),
    "study k=4": (study(4), 8294, 7958),
    "study k=5": (study(5), 10141, 9805),
    "study conv2d chain": (("conv2d_chain", {}, STUDY), 31074, 30738),
    "study residual conv2d": (("lightnet_residual", {"layer": "conv2d"}, STUDY), 19642, 19306),
    "study residual separable": (("lightnet_residual", {"layer": "separable"}, STUDY), 4352, 4016),
    "mnist conv2d": (mnist(layer="conv2d"), 18818, 18594),
    "mnist separable": (mnist(layer="separable"), 3611, 3387),
    "mnist k=1": (mnist(k=1), 2649, 2425),
    "mnist k=2": (mnist(k=2), 4392, 4168),
    "mnist k=3": (mnist(k=3), 6135, 5911),
    "mnist k=4": (mnist(k=4), 7878, 7654),
    "mnist k=5": (mnist(k=5), 9621, 9397),
    "mnist k=6": (mnist(k=6), 11364, 11140),
    "cifar10 conv2d": (cifar(10, layer="conv2d"), 76794, 76122),
    "cifar10 separable": (cifar(10, layer="separable"), 14440, 13768),
    "cifar10 k=1": (cifar(10, k=1), 5937, 5265),
    "cifar10 k=2": (cifar(10, k=2), 9592, 8920),
    "cifar10 k=3": (cifar(10, k=3), 13247, 12575),
    "cifar10 k=4": (cifar(10, k=4), 16902, 16230),
    "cifar10 k=5": (cifar(10, k=5), 20557, 19885),
    "cifar100 conv2d": (cifar(100, layer="conv2d"), 82644, 81972),
    "cifar100 separable": (cifar(100, layer="separable"), 20290, 19618),
    "cifar100 k=1": (cifar(100, k=1), 6747, 6075),
    "cifar100 k=2": (cifar(100, k=2), 10402, 9730),
    "cifar100 k=3": (cifar(100, k=3), 14057, 13385),
    "cifar100 k=4": (cifar(100, k=4), 17712, 17040),
    "cifar100 k=5": (cifar(100, k=5), 21367, 20695),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_built_model_has_the_published_counts(name, worker):
    (model, options, images), total, trainable = COUNTS[name]
    run = {"backend": worker.backend, "model": {"name": model, "options": options}, **images}
    rows = worker.call(Operations.parameters, run=run)
    sizes = [(math.prod(row["shape"]), row["is_trainable"]) for row in rows]
    assert sum(size for size, _ in sizes) == total
    assert sum(size for size, is_trainable in sizes if is_trainable) == trainable
