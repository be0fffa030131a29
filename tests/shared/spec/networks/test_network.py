"""A declared network names the value that its classifier reads."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.dense import Dense, Flatten
from poc.shared.spec.networks.layers.elementwise import Dropout
from poc.shared.spec.networks.layers.pooling import GlobalPool, Pool2D
from poc.shared.spec.networks.models import ModelSpec

# Width of the value before the classifier, as published: the last number of filters, concatenated
# branches added up; of VGG16 its second dense layer. Written by hand.
EMBEDDINGS = {
    "lightnet_plain": ("pool", 32),
    "lightnet_residual": ("pool", 32),
    "conv2d_chain": ("pool", 32),
    "googlenet": ("pool", 1024),  # 384 + 384 + 128 + 128
    "inception_module": ("pool", 672),  # 128 + 192 + 96, and the 256 of the pooled input
    "inception_v3": ("pool", 2048),  # 320 + 768 + 768 + 192
    "inception_resnet_v1": ("pool", 1792),
    "inception_resnet_v2": ("pool", 1536),
    "resnet18": ("avgpool", 512),
    "resnet34": ("avgpool", 512),
    "resnet50": ("avgpool", 2048),
    "resnet101": ("avgpool", 2048),
    "resnet152": ("avgpool", 2048),
    "resnet50v2": ("pool", 2048),
    "resnet101v2": ("pool", 2048),
    "resnet152v2": ("pool", 2048),
    "resnext101_32x8d": ("avgpool", 2048),
    "resnext101_32x48d": ("avgpool", 2048),
    "resnet32_cifar": ("pool", 64),
    "highway": ("pool", 64),
    "vgg9_bn": ("pool", 512),
    "vgg16": ("dense2", 4096),
    "vgg16_bn": ("dense2", 4096),
    "simple_cnn": ("pool", 128),
    "densenet121": ("pool", 1024),
    "densenet_cifar": ("pool", 132),
    "mobilenet_v2": ("pool", 1280),
    "mobilenet_v3_small": ("dense", 1024),
    "mobilenet_v3_large": ("dense", 1280),
    **{f"convnext_{size}": ("norm", 768) for size in ("tiny", "small")},
    "convnext_base": ("norm", 1024),
    "efficientnet_lite0": ("pool", 1280),
    "efficientnet_b0": ("pool", 1280),
    "efficientnet_b1": ("pool", 1280),
    "efficientnet_b2": ("pool", 1408),
    "efficientnet_b3": ("pool", 1536),
    "efficientnet_b4": ("pool", 1792),
    "efficientnet_b5": ("pool", 2048),
    "efficientnet_b6": ("pool", 2304),
    "efficientnet_b7": ("pool", 2560),
    "vit_ti16": ("pool", 192),
    "vit_s16": ("pool", 384),
    "vit_b16": ("pool", 768),
    "dinov2_s14": ("pool", 384),
    "dinov2_b14": ("pool", 768),
}
# Options that put other layers before the classifier.
VARIANTS = {
    "no dropout": ("vgg16", {"dropout": 0.0}, ("dense2", 4096)),
    "half as wide": ("vgg16", {"width": 0.5}, ("dense2", 2048)),
    "averaged": ("vgg16", {"head": "global_average"}, ("pool", 512)),
    "dropout by lineage": ("mobilenet_v2", {"lineage": "torchvision"}, ("pool", 1280)),
    "dropout": ("inception_v3", {"dropout": 0.5}, ("pool", 2048)),
    "light head": ("lightnet_plain", {"head": "light_dense", "dropout": 0.5}, ("pool", 32)),
    "mean of the patches": ("vit_ti16", {"pooling": "mean"}, ("mean", 192)),
    "token and mean": ("dinov2_s14", {"pooling": "class_token_and_mean"}, ("both", 768)),
    "auxiliary heads": ("googlenet", {"auxiliary": True}, ("pool", 1024)),
}


def declare(name, **options):
    return ModelSpec(name=name, options=options).declare(MODELS[name].example_input, 10)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_the_published_embedding(model):
    node, width = EMBEDDINGS[model]
    network = declare(model)
    assert network.embedding == node
    assert network.shape_of(node) == (width,)


@pytest.mark.parametrize("variant", VARIANTS)
def test_options_move_it(variant):
    model, options, (node, width) = VARIANTS[variant]
    network = declare(model, **options)
    assert network.embedding == node
    assert network.shape_of(node) == (width,)


def test_a_second_head_and_frozen_layers_do_not_move_it():
    network = declare("efficientnet_b0")
    extended = network.beside("old_head", Dense(units=7), *network.head.inputs)
    assert extended.with_frozen_body().embedding == network.embedding == "pool"
    assert network.with_frozen_body().nodes[-2].name == "dropout"
    assert not network.with_frozen_body().nodes[-2].is_frozen
    assert network.with_frozen_body().nodes[-3].is_frozen


DROP, CLASSIFY = ("drop", Dropout(rate=0.5)), ("classify", Dense(units=5))
POINTWISE = ("classify", Conv2D(filters=5, kernel_size=(1, 1)))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([("flatten", Flatten()), CLASSIFY], ("flatten", (96,))),
        ([("flatten", Flatten()), DROP, CLASSIFY], ("flatten", (96,))),
        # Nothing flat is without holes: what the classifier reads stands for it.
        ([DROP, ("flatten", Flatten()), CLASSIFY], ("flatten", (96,))),
        ([("pool", GlobalPool()), DROP, ("again", Dropout(rate=0.1)), CLASSIFY], ("pool", (6,))),
        ([("pool", GlobalPool()), DROP, ("flatten", Flatten()), CLASSIFY], ("pool", (6,))),
        # As SqueezeNet ends: the classifier is a convolution, its logits are averaged.
        ([DROP, POINTWISE, ("pool", GlobalPool())], ("drop", (4, 4, 6))),
        ([POINTWISE, ("flatten", GlobalPool())], ("body", (4, 4, 6))),
    ],
)
def test_it_is_the_last_vector_before_the_classifiers_dropout(layers, expected):
    net = NetworkBuilder("net", (4, 4, 3))
    net.add("body", Conv2D(filters=6, kernel_size=(1, 1)))
    for name, layer in layers:
        net.add(name, layer)
    network = net.build()
    assert (network.embedding, network.shape_of(network.embedding)) == expected


def test_images_can_be_it():
    net = NetworkBuilder("net", (3,))
    net.add("drop", Dropout(rate=0.5))
    net.add("classify", Dense(units=5))
    assert net.build().embedding == "images"


def test_a_network_without_a_classifier_says_so():
    with pytest.raises(UsageError, match="inception_module, which does not end in a classifier"):
        _ = declare("inception_module", head="none").embedding
    net = NetworkBuilder("net", (4, 4, 3))
    net.add("pool", Pool2D(kernel_size=(2, 2), strides=(2, 2)))
    with pytest.raises(UsageError, match="does not end in a classifier"):
        _ = net.build().embedding
