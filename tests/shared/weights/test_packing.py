"""Packed attention, bodies alone and positions: published files of vision transformers, read."""

import json

import numpy as np
import pytest

from poc.shared.actions.weights.convert import convert_for
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays, write_arrays
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.weights.conversion import find_scheme, from_canonical, to_canonical
from poc.shared.weights.packing import pack, unpack
from poc.shared.weights.published.table import find_schemes
from poc.shared.weights.recognition import recognise_model

SMALL = {"depth": 2, "width": 12, "heads": 3}
SETTINGS = [f"model.options.{key}={value}" for key, value in SMALL.items()]
NAMINGS = [
    ("vit_s16", "torchvision", "encoder.layers.encoder_layer_1.self_attention.in_proj_weight"),
    ("vit_s16", "timm", "blocks.1.attn.qkv.weight"),
    ("vit_s16", "transformers", "vit.encoder.layer.1.attention.attention.query.weight"),
    ("vit_s16", "transformers_module", "vit.layers.1.attention.q_proj.weight"),
    ("dinov2_s14", "dinov2", "blocks.1.ls1.gamma"),
    ("dinov2_s14", "timm", "blocks.1.ls1.gamma"),
    ("dinov2_s14", "transformers", "dinov2.encoder.layer.1.layer_scale1.lambda1"),
    ("dinov2_s14", "transformers_module", "dinov2.encoder.layer.1.attention.q_proj.weight"),
]


def declare(model, side, num_classes=5, **options):
    spec = ModelSpec(name=model, options={**SMALL, **options})
    return spec.declare((side, side, 3), num_classes)


def draw(network):
    generator = np.random.default_rng(3)
    return {p.name: generator.normal(size=p.shape).astype(np.float32) for p in network.parameters}


def scheme_of(model, name):
    return next(scheme for scheme in find_schemes(model) if scheme.name == name)


def publish(model, naming, side, **options):
    network = declare(model, side, **options)
    return from_canonical(network, scheme_of(model, naming), draw(network))


@pytest.mark.parametrize(("model", "naming", "name"), NAMINGS)
def test_a_naming_goes_both_ways(model, naming, name):
    network = declare(model, 112)
    scheme, weights = scheme_of(model, naming), draw(network)
    published = from_canonical(network, scheme, weights)
    assert name in published
    back = to_canonical(network, scheme, published)
    assert back.keys() == weights.keys()
    for key, value in weights.items():
        assert np.array_equal(back[key], value), key
    found = find_scheme(network, find_schemes(model), published)
    # timm's names are DINOv2's own, whose rule for positions is taken unless --from says timm.
    assert found.name == ("dinov2" if model == "dinov2_s14" and naming == "timm" else naming)


def test_three_parts_become_one_in_their_order():
    parts = {
        f"a.{part}.weight": np.full((2, 3), i) for i, part in enumerate(["query", "key", "value"])
    }
    packed = pack({**parts, "a.proj.weight": np.ones(1)}, {"qkv.weight": "weight"})
    assert list(packed) == ["a.qkv.weight", "a.proj.weight"]
    assert packed["a.qkv.weight"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    again = unpack(packed, {"qkv.weight": "weight"})
    assert all(np.array_equal(again[name], value) for name, value in parts.items())


def test_a_tensor_that_is_no_three_parts_stays_for_the_check_of_shapes():
    value = np.ones((4, 3))
    assert unpack({"a.qkv.weight": value}, {"qkv.weight": "weight"})["a.qkv.weight"] is value


def test_register_tokens_have_their_own_names():
    for naming, name in (("dinov2", "register_tokens"), ("timm", "reg_token")):
        assert publish("dinov2_s14", naming, 28, registers=4)[name].shape == (1, 4, 12)
    names = publish("dinov2_s14", "transformers", 28, registers=4)
    assert "dinov2_with_registers.embeddings.register_tokens" in names


def convert(tmp_path, model, tensors, shape, **given):
    write_arrays(tmp_path / "in.safetensors", tensors)
    return convert_for(
        tmp_path / "in.safetensors",
        tmp_path / "out.safetensors",
        model=model,
        classes="5",
        assignments=SETTINGS,
        shape=shape,
        **given,
    )


def test_a_body_alone_gets_a_drawn_head_and_positions_of_its_images(tmp_path):
    tensors = publish("dinov2_s14", "dinov2", 518)
    del tensors["head.weight"], tensors["head.bias"]
    tensors["mask_token"] = np.zeros((1, 12), np.float32)
    report = convert(tmp_path, "dinov2_s14", tensors, "28x42x3")
    notes = " ".join(report["notes"])
    for word in ("Left out: mask_token", "Resized the 1370", "to the 7", "28x42", "no head"):
        assert word in notes
    found = read_arrays(tmp_path / "out.safetensors")
    assert found["position_embedding/embedding"].shape == (7, 12)
    assert found["position_embedding/embedding"].dtype == np.float32
    assert found["head/kernel"].std() == pytest.approx(0.02, rel=0.3)
    # The view of the publication, at the size of the positions.
    assert report["view"]["image_size"] == [28, 42]
    assert report["view"]["normalization"] == "torch"


def test_a_body_of_transformers_has_no_prefix(tmp_path):
    whole = publish("dinov2_s14", "transformers", 28)
    body = {
        name.removeprefix("dinov2."): value
        for name, value in whole.items()
        if not name.startswith("classifier")
    }
    body |= {"pooler.dense.weight": np.zeros((12, 12), np.float32)}
    report = convert(tmp_path, "dinov2_s14", body, "28x28x3")
    assert report["from"] == "transformers"
    found = read_arrays(tmp_path / "out.safetensors")
    for name, value in draw(declare("dinov2_s14", 28)).items():
        assert name.startswith("head/") or np.array_equal(found[name], value), name


def test_torchvision_publishes_no_body_alone(tmp_path):
    tensors = publish("vit_s16", "torchvision", 32)
    del tensors["heads.head.weight"], tensors["heads.head.bias"]
    with pytest.raises(UsageError, match=r"without heads\.head\.weight"):
        convert(tmp_path, "vit_s16", tensors, "32x32x3")


def test_a_file_in_shards_is_one_file(tmp_path):
    tensors = publish("vit_s16", "transformers", 32)
    names = list(tensors)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, own in parts.items():
        write_arrays(tmp_path / file, {name: tensors[name] for name in own})
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    report = convert_for(
        tmp_path / "model.safetensors.index.json",
        tmp_path / "out.safetensors",
        model="vit_s16",
        classes="5",
        assignments=SETTINGS,
        shape="32x32x3",
    )
    assert report["from"] == "transformers"
    found = read_arrays(tmp_path / "out.safetensors")
    assert all(np.array_equal(found[k], v) for k, v in draw(declare("vit_s16", 32)).items())


@pytest.mark.parametrize("side", [224, 384])
def test_a_file_is_recognised_at_any_image_size(side):
    network = ModelSpec(name="vit_ti16").declare((side, side, 3), 10)
    weights = {p.name: np.broadcast_to(np.float32(0), p.shape) for p in network.parameters}
    published = from_canonical(network, scheme_of("vit_ti16", "timm"), weights)
    assert recognise_model(published).model == "vit_ti16"
