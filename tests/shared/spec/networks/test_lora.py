"""LoRA as settings: targets, counts, what learns, and what is refused."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.networks.freezing import frontier
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.lora import without_lora
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec

VIT = {
    "name": "vit_ti16",
    "options": {"depth": 2, "width": 12, "heads": 3, "patch_size": 4, "dropout": 0.2},
}
RESNET = {"name": "resnet18"}


def make_run(model, targets, method="transfer", rank=2, **fields):
    return RunSpec.parse(
        {
            "method": method,
            "model": model,
            "input_shape": [32, 32, 3],
            "num_classes": 3,
            "lora": {"rank": rank, "targets": targets},
            **fields,
        },
        "",
    )


def trained(run):
    network = resolve_networks(run).trained_network
    return {p.name: p.shape for p in network.parameters if p.is_trainable}


HEAD = {"head/kernel": (12, 3), "head/bias": (3,)}


def test_attention_has_a_term_for_each_of_its_four_kernels():
    terms = {
        f"block{block}/attention/{part}/lora/{name}/kernel": shape
        for block in (1, 2)
        for part in ("query", "key", "value", "projection")
        for name, shape in {"a": (12, 2), "b": (2, 12)}.items()
    }
    assert trained(make_run(VIT, ["attention"])) == terms | HEAD


def test_a_pattern_names_parts_and_layers():
    found = trained(make_run(VIT, ["block2/*/query", "block1/dense1"]))
    assert found == HEAD | {
        "block1/dense1/lora/a/kernel": (12, 2),
        "block1/dense1/lora/b/kernel": (2, 48),
        "block2/attention/query/lora/a/kernel": (12, 2),
        "block2/attention/query/lora/b/kernel": (2, 12),
    }


def test_a_convolution_has_a_window_in_a_and_none_in_b():
    found = trained(make_run({"name": "resnext101_32x8d"}, ["layer1/0/conv2", "layer1/0/conv1"]))
    shapes = {name: shape for name, shape in found.items() if not name.startswith("fc/")}
    assert shapes == {
        "layer1/0/conv1/lora/a/kernel": (1, 1, 64, 2),
        "layer1/0/conv1/lora/b/kernel": (1, 1, 2, 256),
        # 32 groups of 8 channels: two filters each.
        "layer1/0/conv2/lora/a/kernel": (3, 3, 8, 64),
        "layer1/0/conv2/lora/b/kernel": (1, 1, 2, 256),
    }


def test_the_first_outputs_do_not_change():
    network = declare_network(make_run(VIT, ["attention", "dense"]))
    terms = {n: v for n, v in draw_weights(network.parameters, 0).items() if "/lora/" in n}
    assert terms
    for name, value in terms.items():
        # Of the paper's code: U(-a, a), a = 1 / sqrt(12 or 48); B is zero.
        limit = 0 if "/b/" in name else len(value) ** -0.5
        assert abs(value).max() <= limit
        assert (abs(value).max() > 0.5 * limit) == ("/a/" in name)


def test_multiply_adds_count_the_terms_and_leave_with_them():
    plain = declare_network(make_run(VIT, ["attention"]).replace(lora={}))
    network = declare_network(make_run(VIT, ["attention"]))
    # 65 tokens, two blocks, four kernels, 12 -> 2 -> 12.
    assert network.macs - plain.macs == 65 * 2 * 4 * (12 * 2 + 2 * 12)
    assert without_lora(network).parameters == plain.parameters
    assert without_lora(network).macs == plain.macs


def test_what_lies_before_the_first_term_can_be_kept():
    late = resolve_networks(make_run(RESNET, ["layer4/1/*"])).trained_network
    assert frontier(late) == ("layer4/0/relu2",)
    assert frontier(resolve_networks(make_run(RESNET, ["conv"])).trained_network) == ()


def test_random_layers_act_after_the_first_term_alone():
    network = resolve_networks(make_run(VIT, ["block2/dense1"])).trained_network
    assert list(network.dropouts) == ["block2/dropout2", "block2/dropout3"]


def test_a_kernel_of_a_lower_rank_is_left_out():
    """The first layers have 64 filters, the others more."""
    found = trained(make_run(RESNET, ["conv"], rank=65))
    layers = {name.partition("/lora/")[0] for name in found} - {"fc/kernel", "fc/bias"}
    assert "layer2/0/conv1" in layers
    assert not any(name.startswith(("conv1", "layer1")) for name in layers)


def test_training_from_the_start_freezes_the_targets_alone():
    found = trained(make_run(VIT, ["block1/dense1"], method="scratch"))
    everything = trained(make_run(VIT, ["block1/dense1"], method="scratch").replace(lora={}))
    assert everything.keys() - found.keys() == {"block1/dense1/kernel", "block1/dense1/bias"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": RESNET, "targets": ["attention"]}, r'Try lora.targets=\["conv"\]'),
        ({"model": VIT, "targets": ["head"]}, "before its head, which trains in full"),
        ({"model": RESNET, "targets": ["layer1/*"], "rank": 65}, "Try lora.rank=64"),
        ({"model": VIT, "targets": ["attention"], "rank": 0}, "greater than or equal to 1"),
        ({"model": VIT, "targets": ["attention"], "method": "fixres"}, "Try --method transfer"),
        ({"model": VIT, "targets": ["attention"], "method": "logistic"}, "its head alone"),
        ({"model": VIT, "targets": []}, "lora.targets"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        resolve_networks(make_run(**fields))


@pytest.mark.parametrize("unused", [{"alpha": 4.0}, {"targets": ["dense"]}], ids=str)
def test_settings_of_terms_that_nothing_has_are_refused(unused):
    with pytest.raises(UsageError, match=r"without lora\.rank, so that no layer has a term"):
        RunSpec.parse({"method": "transfer", "model": VIT, "lora": unused}, "")
