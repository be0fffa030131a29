"""A network as Keras users know it: it saves, loads, clones, freezes, fits and draws its masks."""

import math

import pytest

from poc.tests.helpers.architectures.table import SMALL_CASES
from poc.tests.helpers.measured.separate_process import measured

pytestmark = pytest.mark.tf

QUICK = (
    "lightnet_residual study k=2",
    "lightnet_residual no inner activation",
    "resnet32_cifar stochastic depth by batch",
    "simple_cnn",
    "vgg9_bn 10",
)
# One of each further family, or more where its members have other kinds of layers.
SLOW = (
    *("lightnet_residual study separable", "lightnet_plain mnist k=3", "conv2d_chain"),
    *("googlenet", "inception_module", "inception_v3", "inception_resnet_v1"),
    *("inception_resnet_v2", "resnet18", "resnet50", "resnet50v2", "resnext101_32x8d"),
    *("resnet32_cifar stochastic depth by row", "highway", "vgg16", "vgg16_bn global average"),
    *("mobilenet_v2 keras", "efficientnet_lite0", "efficientnet_b0 torchvision"),
    *("mobilenet_v3_small keras", "convnext_tiny"),
    *("vit_s16 mean", "dinov2_s14 registers", "densenet121", "densenet_cifar"),
)
# They differ from another member of their family in counts and sizes alone.
LEFT_OUT = {
    *("resnet34", "resnet101", "resnet152", "resnet101v2", "resnet152v2", "resnext101_32x48d"),
    *(f"efficientnet_b{size}" for size in range(1, 8)),
    *("mobilenet_v3_large", "convnext_small", "convnext_base"),
    *("vit_ti16", "vit_b16", "dinov2_b14"),
}
# float32 sums of a graph that the compiler took in another order.
GRAPH_TOLERANCE = 1e-5
# The numbers of the same kernels in another process.
FILE_TOLERANCE = 1e-6
CHANCE = 1 / 10


def write_and_read(folder, rows, *, is_exported, order):
    """What the writing process says of each row, and the reading one of its files."""
    kind = "exported" if is_exported else "saved"
    written = measured("native_nets_tf.py", str(folder), kind, *rows, timeout_seconds=1500)
    paths = [str(folder / row.replace(" ", "_")) for row in rows]
    read = measured("native_reader_tf.py", order, *paths, timeout_seconds=1500)
    return {row: {**written[row], "read": found} for row, found in zip(rows, read, strict=True)}


@pytest.fixture(scope="module")
def quick_nets(tmp_path_factory):
    return write_and_read(
        tmp_path_factory.mktemp("nets"), QUICK, is_exported=False, order="poc,keras"
    )


@pytest.fixture(scope="module")
def slow_nets(tmp_path_factory):
    rows = (*SLOW, *QUICK)
    return write_and_read(
        tmp_path_factory.mktemp("nets"), rows, is_exported=True, order="keras,poc"
    )


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    return measured("native_training_tf.py", str(tmp_path_factory.mktemp("x")), "draws", "engine")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    parts = ("plain", "xla", "seeds", "clone", "flags")
    folder = str(tmp_path_factory.mktemp("trained"))
    return measured("native_training_tf.py", folder, *parts, timeout_seconds=1500)


def check_net(found):
    assert found["evaluation"] <= FILE_TOLERANCE
    assert found["weights"] == found["expected_weights"]
    assert found["shapes"] == found["expected_shapes"]
    assert found["is_shown"]
    assert found["unknown_shapes"] == 0
    assert found["twin_differences"] == []
    assert found["read"]["logits"] <= FILE_TOLERANCE
    assert found["read"]["middle"] <= FILE_TOLERANCE
    assert found["read"]["h5"] <= FILE_TOLERANCE
    if "training" in found:
        assert found["training"]["error"] <= FILE_TOLERANCE
        assert found["training"]["weights"] <= FILE_TOLERANCE
        assert found["training"]["moved"] == ["moving_mean", "moving_variance"]
        assert found["training"]["is_each_moved"]


@pytest.mark.parametrize("row", QUICK)
def test_a_native_model_computes_what_the_engine_does_and_loads_in_a_fresh_process(row, quick_nets):
    check_net(quick_nets[row])


def test_some_nets_are_compared_in_training_mode(quick_nets):
    assert [row for row in QUICK if "training" in quick_nets[row]] == [
        "lightnet_residual no inner activation",
        "vgg9_bn 10",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("row", SLOW)
def test_every_family_does(row, slow_nets):
    check_net(slow_nets[row])


@pytest.mark.slow
@pytest.mark.parametrize("row", [*SLOW, *QUICK])
def test_an_exported_model_answers_equally(row, slow_nets):
    read = slow_nets[row]["read"]
    assert read["exported"] <= GRAPH_TOLERANCE
    assert read["one exported image"] <= GRAPH_TOLERANCE


def test_every_family_is_among_the_nets():
    chosen = {SMALL_CASES[row].model for row in (*QUICK, *SLOW)}
    assert {case.model for case in SMALL_CASES.values()} - chosen == LEFT_OUT


def near(share, expected, count):
    """Whether a share of independent draws is within four standard errors."""
    return abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize(
    ("kind", "count"), [("dropout", 8000), ("spatial", 4000), ("row", 4000), ("gate", 1000)]
)
def test_a_random_layer_draws_its_own_mask_in_training(kind, count, layers):
    found = layers["draws"][kind]
    assert near(found["share_dropped"], 0.25, count)
    assert found["is_shared"]
    if kind == "gate":
        assert found["values"] == [0, 1]
        assert found["evaluation"] == 0.75
        return
    assert found["values"] == [0, pytest.approx(1 / 0.75, abs=1e-5)]
    assert found["differs"]
    assert found["evaluation"] == found["default"] == [1]


def test_a_random_layer_takes_the_mask_that_it_is_given(layers):
    draws = layers["draws"]
    assert draws["given"] == [[2 * kept for kept in row] for row in draws["kept"]]


def test_a_layer_that_drops_nothing_draws_nothing(layers):
    found = layers["draws"]["no rate"]
    assert found["values"] == [1]
    assert not found["differs"]


@pytest.mark.parametrize("kind", ["dropout", "batch", "row"])
def test_the_engine_refuses_to_train_without_a_mask(kind, layers):
    assert "Got no mask for the random layer stage1/" in layers["engine"][kind]


def test_the_engine_needs_no_mask_where_nothing_is_random(layers):
    engine = layers["engine"]
    assert engine["no rate"] == engine["statistics"]
    assert engine["given"] == engine["all statistics"]
    assert engine["frozen"] == []


@pytest.mark.parametrize("mode", ["adapt_all", "adapt_last_stats"])
def test_a_frozen_norm_of_the_engine_adapts_where_the_run_says_so(mode, layers):
    assert layers["engine"][mode] == layers["engine"]["statistics"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "xla"])
def test_fit_learns_and_moves_every_weight(kind, trained):
    found = trained[kind]
    assert found["after"] < found["before"] - 0.5
    assert found["losses"][-1] < found["losses"][0] - 0.5
    assert found["accuracy"] > 3 * CHANCE
    assert found["unmoved"] == []
    assert found["predicted"] == [400, 10]
    assert found["share_predicted"] == pytest.approx(found["accuracy"])


@pytest.mark.slow
def test_keras_seed_repeats_the_masks_under_xla(trained):
    first, second, other = trained["seeds"]
    assert first == second
    assert first != other


@pytest.mark.slow
def test_a_clone_starts_from_the_initial_values_of_keras_and_learns(trained):
    clone = trained["clone"]
    drawn = set(clone["limits"])
    assert drawn | set(clone["ones"]) | set(clone["zeros"]) == set(clone["all"])
    # A uniform distribution between -limit and limit, whose deviation is 0.577 limits.
    assert all(0.8 < largest <= 1 and 0.4 < std < 0.7 for largest, std in clone["limits"].values())
    assert not clone["is_one_drawn_twice"]
    assert clone["fit"]["after"] < clone["fit"]["before"] - 0.2
    assert clone["fit"]["unmoved"] == []


@pytest.mark.slow
def test_frozen_layers_stand_still_and_a_file_keeps_the_flags(trained):
    flags = trained["flags"]
    assert flags["is_inference"]
    assert flags["unmoved"] == sorted(flags["of_frozen"])
    assert flags["loaded"] == ["stage1.conv", "stage1.norm"]
    assert not set(flags["trainable"]) & set(flags["of_frozen"])
    assert flags["is_optimizer_loaded"]
    assert flags["error"] <= FILE_TOLERANCE
