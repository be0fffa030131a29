"""A nearest-neighbour classifier in place of the last layer: shapes, counts, and its one need."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.networks.models import ModelSpec

STORED = {"num_images": 30, "most_neighbours": 50}


def declare(name="resnet18", **fields):
    return ModelSpec.parse({"name": name, **fields}, "model").declare((32, 32, 3), 4)


def test_it_stores_features_a_place_and_labels():
    network, plain = declare(stored_images=STORED), declare()
    assert network.nodes[:-1] == plain.nodes[:-1]
    assert network.embedding == plain.embedding
    shapes = {p.name.rpartition("/")[2]: p.shape for p in network.head.parameters}
    # No more neighbours than there are images.
    assert shapes == {"features": (30, 512), "rank": (30,), "labels": (30, 4)}
    assert not any(p.is_trainable for p in network.head.parameters)
    assert network.num_classes == 4
    assert network.macs - plain.macs == 30 * (512 + 4) - 512 * 4


def test_another_last_layer_is_refused():
    with pytest.raises(UsageError, match="for nearest neighbours, which ends in the layer 'head'"):
        declare("lightnet_plain", stored_images=STORED)
