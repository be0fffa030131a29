"""What of a network is frozen, which values stay the same, and what is kept of them."""

import numpy as np
import pytest

from poc.shared.errors import UsageError
from poc.shared.files.arrays import map_arrays, write_arrays
from poc.shared.spec.methods.transfer_learning import FINETUNE, FixResOptions, extend_phase
from poc.shared.spec.networks.freezing import (
    body_units,
    frontier,
    head_names,
    moving_names,
    partly_frozen,
    standalone,
)
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec


def declare(name, shape=(64, 64, 3), **options):
    return ModelSpec(name=name, options=options).declare(shape, 5)


def trained(network):
    return {p.name for p in network.parameters if p.is_trainable}


@pytest.mark.parametrize(
    ("name", "head", "first", "last", "count"),
    [
        ("mobilenet_v2", ("head",), "stem", "top", 19),
        ("efficientnet_lite0", ("dropout", "head"), "stem", "top", 18),
        ("resnet18", ("fc",), "conv1", "layer4/1", 9),
        ("vgg16", ("dense1", "dropout1", "dense2", "dropout2", "head"), "stage1", "stage5", 5),
        # Its hidden dense layer belongs to the features, as where the libraries tune it.
        ("mobilenet_v3_small", ("dropout", "head"), "stem", "dense", 14),
        ("resnet50v2", ("head",), "conv1", "stage4/block3", 17),
    ],
)
def test_heads_and_blocks_are_found_by_their_names(name, head, first, last, count):
    network = declare(name)
    units = body_units(network)
    assert head_names(network) == head
    assert len(units) == count
    assert units[0][0].startswith(first)
    assert units[-1][0].startswith(last)
    names = [node for unit in units for node in unit]
    assert sorted([*names, *head]) == sorted(node.name for node in network.nodes)


def test_the_auxiliary_heads_of_a_net_are_no_part_of_its_body():
    network = declare("inception_v3", (139, 139, 3))
    assert body_units(network)[-1][0].startswith("mixed10")
    assert len(body_units(network)) == 12


@pytest.mark.parametrize("mode", ["frozen", "adapt_all", "adapt_last_stats", "adapt_last_affine"])
def test_a_head_alone_is_trained_whatever_the_norms_do(mode):
    network = partly_frozen(declare("mobilenet_v2"), trained_blocks=0, bn_mode=mode)
    expected = {"head/kernel", "head/bias"}
    if mode == "adapt_last_affine":
        expected |= {"top/norm/gamma", "top/norm/beta"}
    assert trained(network) == expected
    adapting = {node.name for node in network.nodes if node.adapts}
    norms = {node.name for node in network.nodes if node.layer.kind == "batch_norm"}
    assert adapting == {"frozen": set(), "adapt_all": norms}.get(mode, {"top/norm"})


def test_the_last_blocks_are_trained_at_falling_rates():
    network = partly_frozen(
        declare("mobilenet_v2"), trained_blocks=3, bn_mode="frozen", body_rate=0.5, rate_decay=0.1
    )
    rates = {p.name: p.rate_factor for p in network.parameters if p.is_trainable}
    assert rates["head/kernel"] == 1
    assert rates["top/conv/kernel"] == 0.5
    assert rates["block17/expand_conv/kernel"] == pytest.approx(0.05)
    assert rates["block16/depthwise_conv/kernel"] == pytest.approx(0.005)
    assert {name.split("/")[0] for name in rates} == {"head", "top", "block17", "block16"}
    assert not any("norm" in name for name in rates)


def test_the_frontier_is_what_the_moving_part_reads():
    network = declare("efficientnet_lite0")
    modes = {
        "frozen": ("pool",),
        "adapt_last_stats": ("top/conv",),
        "adapt_last_affine": ("top/conv",),
        "adapt_all": ("stem/conv",),
    }
    for mode, expected in modes.items():
        assert frontier(partly_frozen(network, trained_blocks=0, bn_mode=mode)) == expected
    two = partly_frozen(network, trained_blocks=2, bn_mode="frozen")
    assert frontier(two) == ("stage6/block4/add",)
    assert frontier(partly_frozen(network, trained_blocks="all", bn_mode="frozen")) == ()


def test_random_layers_of_a_frozen_body_stand_still_and_the_heads_stay():
    network = declare("efficientnet_lite0")
    assert len(network.dropouts) > 5
    frozen = partly_frozen(network, trained_blocks=0, bn_mode="frozen")
    assert set(frozen.dropouts) == {"dropout"}
    assert set(network.with_frozen_body().dropouts) == {"dropout"}


def test_what_cannot_be_frozen_is_refused():
    with pytest.raises(UsageError, match="whose body has 19 blocks"):
        partly_frozen(declare("mobilenet_v2"), trained_blocks=20, bn_mode="frozen")
    with pytest.raises(UsageError, match=r"Got bn_mode=adapt_last_stats .* --set bn_mode=frozen\."):
        partly_frozen(declare("vgg16"), trained_blocks=0, bn_mode="adapt_last_stats")
    with pytest.raises(UsageError, match="trained_blocks=-1"):
        make_run("transfer", trained_blocks=-1)
    with pytest.raises(UsageError, match="bn_mode"):
        make_run("transfer", bn_mode="off")


def test_fixres_without_a_batch_norm_names_the_option_that_helps():
    """Phase 1 has bn_mode=frozen already."""
    options, network = FixResOptions(), declare("convnext_tiny")
    with pytest.raises(
        UsageError, match=r"Got finetune_bn_mode=.* --set finetune_bn_mode=frozen\."
    ):
        extend_phase(options, network, FINETUNE)
    tuned = extend_phase(FixResOptions(finetune_bn_mode="frozen"), network, FINETUNE)
    assert moving_names(tuned) == {"head/kernel", "head/bias"}


def make_run(method, **options):
    return RunSpec.parse(
        {
            "method": method,
            "method_options": options,
            "input_shape": [64, 64, 3],
            "num_classes": 5,
            "num_epochs": 10,
        },
        "",
    )


def test_the_phases_of_fixres_have_their_own_sizes_views_and_rates():
    run = make_run("fixres", train_size=64, test_size=96, finetune_epochs=3, trained_blocks=1)
    assert [(s.name, s.num_epochs) for s in run.stages] == [("train", 7), ("finetune", 3)]
    first, second = run.at_stage("train"), run.at_stage("finetune")
    assert first.data.image_size == (64, 64)
    assert declare_network(first).input_shape == (64, 64, 3)
    assert declare_network(second).input_shape == (96, 96, 3)
    assert second.optimizer.learning_rate == pytest.approx(1e-4)
    assert first.optimizer.learning_rate == pytest.approx(1e-3)
    view = second.data.train_view
    assert (view.horizontal_flip, view.brightness, view.hue) == (0.5, 0.05, 0)
    assert "top/conv/kernel" in trained(resolve_networks(first).trained_network)
    assert trained(resolve_networks(second).trained_network) == {
        "top/norm/gamma",
        "top/norm/beta",
        "head/kernel",
        "head/bias",
    }


def test_the_second_phase_sees_what_the_test_sees():
    values = make_run("fixres", finetune_view="test").model_dump(mode="json")
    view = {"resize": "height", "crop": "centre", "crop_share": 0.8}
    values["data"]["eval_view"] = view
    exact = RunSpec.parse(values, "").at_stage("finetune").data.train_view
    assert (exact.resize, exact.crop, exact.crop_share) == ("height", "centre", 0.8)
    assert not exact.is_random
    values["method_options"]["finetune_view"] = "shifted"
    moved = RunSpec.parse(values, "").at_stage("finetune").data.train_view
    assert (moved.resize, moved.crop, moved.crop_share) == ("height", "shifted", 0.8)


def test_a_plan_without_a_first_phase_and_a_second_size_are_refused():
    with pytest.raises(UsageError, match="both phases share"):
        make_run("fixres", finetune_epochs=10).stages  # noqa: B018
    values = make_run("fixres", test_size=96).model_dump(mode="json")
    values["data"]["image_size"] = [64, 64]
    with pytest.raises(UsageError, match=r"leaving data\.image_size out"):
        RunSpec.parse(values, "")


def test_mapped_arrays_are_the_written_ones(tmp_path):
    arrays = {"b": np.ones((2, 3)), "a": np.arange(4, dtype=np.float32)}
    write_arrays(tmp_path / "x.safetensors", arrays, format="x")
    mapped = map_arrays(tmp_path / "x.safetensors")
    assert mapped.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(mapped[name], value)
        assert isinstance(mapped[name], np.memmap)


def test_a_network_that_is_taken_home_has_one_head_and_trains_everywhere():
    whole = declare("googlenet", (224, 224, 3), auxiliary=True)
    alone = standalone(whole)
    assert whole.auxiliary
    assert not alone.auxiliary
    frozen = partly_frozen(whole, trained_blocks=1, bn_mode="frozen", body_rate=0.1)
    assert standalone(frozen) == alone
    assert [node.name for node in alone.nodes] == [
        node.name for node in whole.needed([whole.output])
    ]
    assert all(p.is_trainable != ("/moving_" in p.name) for p in alone.parameters)
