"""Options of fitted heads, and the networks that they declare."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.methods.fitted_heads import LogisticOptions, NeighboursOptions
from poc.shared.spec.networks.freezing import frontier, moving_names
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

STORED = {"num_images": 30, "most_neighbours": 5}


def make_run(method, name, stored=None, **options):
    model = {"name": name, "options": options, "stored_images": stored}
    values = {"method": method, "model": model, "input_shape": [32, 32, 3], "num_classes": 4}
    return resolve_networks(RunSpec.parse(values, ""))


def test_candidates_come_once_and_rise():
    assert LogisticOptions(c_values=(1.0, 0.1, 1.0)).candidates == (0.1, 1.0)
    assert NeighboursOptions(k_values=(9, 1)).candidates == (1, 9)
    assert (LogisticOptions().symbol, LogisticOptions().unchosen) == ("C", 1.0)
    assert (NeighboursOptions().symbol, NeighboursOptions().unchosen) == ("k", 20)


def test_what_a_classifier_stores():
    """As many as there are; a sharpness for weighted votes alone."""
    found = NeighboursOptions(k_values=(5, 50), temperature=0.1).store(40)
    assert (found.num_images, found.most_neighbours, found.metric) == (40, 40, "cosine")
    assert found.sharpness == pytest.approx(10, rel=1e-15)
    found = NeighboursOptions(k_values=(5, 50), votes="uniform", metric="euclidean").store(400)
    assert (found.most_neighbours, found.metric, found.sharpness) == (50, "euclidean", 0.0)


@pytest.mark.parametrize(("field", "values"), [("c_values", [0.1, 0]), ("c_values", [])])
def test_a_wrong_c_is_refused(field, values):
    with pytest.raises(UsageError, match="c_values"):
        LogisticOptions.parse({field: values}, "method_options")


@pytest.mark.parametrize("values", [[0, 5], [], [1.5]])
def test_a_wrong_k_is_refused(values):
    with pytest.raises(UsageError, match="k_values"):
        NeighboursOptions.parse({"k_values": values}, "method_options")


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "mobilenet_v2", "googlenet"])
@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_the_last_layer_alone_moves_and_reads_kept_values(method, name):
    """Auxiliary heads are left out; of VGG's three dense layers two belong to the body."""
    run = make_run(method, name, STORED if method == "knn" else None)
    head, network = run.network.head.name, run.trained_network
    parts = ("features", "rank", "labels") if method == "knn" else ("kernel", "bias")
    assert moving_names(network) == {f"{head}/{part}" for part in parts}
    (source,) = frontier(network)
    assert network.shape_of(source) == network.head.input_shapes[0]
    assert not network.auxiliary
    assert not network.dropouts
    trainable = {p.name for p in network.parameters if p.is_trainable}
    assert trainable == (set() if method == "knn" else moving_names(network))


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_a_last_layer_that_is_not_dense_is_refused(method):
    with pytest.raises(UsageError, match=r"ends in the layer 'head' of the kind light_dense\. Exp"):
        make_run(method, "lightnet_plain")
