"""Weight files of other tools: wrapped, prefixed, halved, numbered, of another network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poc.shared.actions.weights.convert import convert_for
from poc.shared.analysis.parity.rungs import relative_error
from poc.shared.engine.teacher import teacher_weights
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays, read_arrays_and_metadata, write_arrays
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.weights import start
from poc.shared.weights.conversion import from_canonical, number_from_zero, to_canonical
from poc.shared.weights.published.keras_order import keras_order, numbered_names
from poc.shared.weights.published.table import find_schemes
from poc.shared.weights.wrapping import unwrap
from poc.tests.helpers.architectures.row import Case

FOLDER = Path(__file__).parents[1] / "helpers" / "libraries"
TORCHVISION = {"width": 0.25, "lineage": "torchvision"}
MOBILENET = Case(
    model="mobilenet_v2", options=TORCHVISION, input_shape=(224, 224, 3), num_classes=5
)
GIVEN = {
    "model": "mobilenet_v2",
    "classes": "5",
    "assignments": ["width=0.25", "lineage=torchvision"],
}


def scheme_of(model, name):
    return next(scheme for scheme in find_schemes(model) if scheme.name == name)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    script = FOLDER / "foreign_torch.py"
    subprocess.run([sys.executable, "-W", "ignore", str(script), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def expected(files):
    """The plain model's canonical weights, by our own conversion of its arrays."""

    def find(name):
        with np.load(files / f"{name}.npz") as file:
            scheme = scheme_of("mobilenet_v2", "torchvision")
            return to_canonical(declare_network(MOBILENET.run()), scheme, dict(file))

    return find


STRIPPED = {
    "plain": [],
    "compiled": ["prefix '_orig_mod.' of 196 names"],
    "parallel": ["prefix 'module._orig_mod.'"],
    "averaged": ["prefix 'module.'", "Left out: n_averaged."],
    "net": ["prefix 'net/'", "Left out: epoch."],
    "lightning": ["prefix 'state_dict/model.'"],
    "two": ["prefix 'model/'", "Left out: model_ema."],
    "half": [],
}


@pytest.mark.torch
@pytest.mark.parametrize("name", STRIPPED)
def test_wrappers_come_off_and_it_is_said(name, files, expected, tmp_path):
    report = convert_for(files / f"{name}.pth", tmp_path / "out.safetensors", **GIVEN)
    found, metadata = read_arrays_and_metadata(tmp_path / "out.safetensors")
    network = {"options": TORCHVISION, "input_shape": [224, 224, 3]}
    assert json.loads(metadata.pop("network")) == network
    assert metadata == {"model": "mobilenet_v2", "lineage": "torchvision", "classes": "5"}
    for key, value in expected("plain").items():
        wanted = value.astype(np.float16).astype(np.float32) if name == "half" else value
        assert np.array_equal(found[key], wanted), key
    said = [part.replace("of 196 names", "of ") for part in STRIPPED[name]]
    assert len(report["notes"]) == len(said)
    for part, note in zip(said, report["notes"], strict=True):
        assert part in note


@pytest.mark.torch
def test_tensors_of_something_else_beside_the_network_are_named(files, tmp_path):
    with pytest.raises(UsageError) as caught:
        convert_for(files / "teacher.pth", tmp_path / "out.safetensors", **GIVEN)
    assert "below 'model.' and others next to them, such as 'teacher.weight'" in str(caught.value)


@pytest.mark.torch
def test_quantised_weights_are_refused(files, tmp_path):
    with pytest.raises(UsageError, match=r"features.0.0.weight of type int8. Expected floats"):
        convert_for(files / "quantised.pth", tmp_path / "out.safetensors", **GIVEN)


@pytest.mark.torch
def test_bfloat16_is_read_as_the_equal_float32(files, expected, tmp_path):
    convert_for(files / "brain.safetensors", tmp_path / "out.safetensors", **GIVEN)
    found = read_arrays(tmp_path / "out.safetensors")
    for name, value in expected("rounded").items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], value), name


@pytest.mark.parity
@pytest.mark.slow
def test_doubles_stay_doubles_from_either_framework(files, expected, tmp_path, workers):
    """The same rule for `.pth` and `.h5`, and a sentence about it; a float32 run rounds."""
    report = convert_for(files / "double.pth", tmp_path / "a.safetensors", **GIVEN)
    convert_for(tmp_path / "a.safetensors", tmp_path / "a.h5", to="keras", **GIVEN)
    again = convert_for(tmp_path / "a.h5", tmp_path / "b.safetensors", **GIVEN)
    first, second = read_arrays(tmp_path / "a.safetensors"), read_arrays(tmp_path / "b.safetensors")
    for name, value in expected("plain").items():
        assert first[name].dtype == second[name].dtype == np.float64
        assert np.array_equal(first[name], value)
        assert np.array_equal(second[name], value)
    for notes in (report["notes"], again["notes"]):
        assert any("tensors are float64 and stay float64" in note for note in notes)
    images = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype(np.float32)
    for worker in workers:
        run = MOBILENET.run(worker.backend).model_dump(mode="json")
        logits = [
            worker.call(Operations.logits, run=run, weights=weights, images=images)
            for weights in (first, expected("plain"))
        ]
        assert np.array_equal(*logits)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "shape", "supported"),
    [
        ("googlenet", "224x224x3", "only files of this declaration"),
        ("inception_v3", "299x299x3", "keras.applications.InceptionV3"),
    ],
)
def test_another_network_of_the_same_name_is_called_that(name, shape, supported, files, tmp_path):
    with pytest.raises(UsageError) as caught:
        convert_for(
            files / f"{name}.pth",
            tmp_path / "out.safetensors",
            model=name,
            classes="5",
            shape=shape,
        )
    text = str(caught.value)
    assert f"a file of torchvision's {name}, which is another network than {name} here" in text
    assert f"is not supported. Expected {supported}" in text


@pytest.mark.torch
def test_the_lineage_that_is_found_is_recorded_and_checked(files, expected, tmp_path):
    """Names and shapes fit both; a run under the other one would be silently wrong."""
    path = tmp_path / "c.safetensors"
    given = {**GIVEN, "assignments": ["width=0.25"]}
    report = convert_for(files / "plain.pth", path, **given)
    assert report["lineage"] == "torchvision"
    assert any("must set model.lineage=torchvision" in note for note in report["notes"])
    again = tmp_path / "d.safetensors"
    convert_for(path, again, **given)
    assert read_arrays_and_metadata(again)[1]["lineage"] == "torchvision"
    right = MOBILENET.run(initial_weights=str(path))
    wrong = Case(model="mobilenet_v2", options={"width": 0.25}, num_classes=5).run(
        initial_weights=str(path)
    )
    assert np.array_equal(
        start.initial_weights(resolve_networks(right))["head/kernel"],
        expected("plain")["head/kernel"],
    )
    source: dict[str, Any] = {"weights": str(path), "num_classes": 5}
    source["model"] = wrong.model_spec.model_dump(mode="json")
    as_source = MOBILENET.run(method="kd", teacher=source)
    refusal = r"weights of the lineage 'torchvision', for mobilenet_v2 with lineage='keras'.*set mo"
    with pytest.raises(UsageError, match=refusal):
        start.initial_weights(resolve_networks(wrong))
    with pytest.raises(UsageError, match=refusal):
        teacher_weights(as_source, declare_network(wrong))


@pytest.mark.parametrize(("lineage", "normalization"), [("keras", "tf"), ("torchvision", "torch")])
def test_names_of_both_lineages_give_the_one_of_the_options_and_its_view(
    lineage, normalization, tmp_path
):
    """timm's `tf_efficientnet_lite0` and its `efficientnet_lite0`."""
    network = declare_network(Case(model="efficientnet_lite0").run())
    weights = {p.name: np.ones(p.shape, np.float32) for p in network.parameters}
    tensors = from_canonical(network, scheme_of("efficientnet_lite0", "timm"), weights)
    write_arrays(tmp_path / "in.safetensors", tensors)
    given = {"model": "efficientnet_lite0", "classes": "1000"}
    report = convert_for(
        tmp_path / "in.safetensors",
        tmp_path / "out.safetensors",
        assignments=[f"lineage={lineage}"],
        **given,
    )
    assert report["lineage"] == lineage
    assert any("The names of timm fit both lineages" in note for note in report["notes"])
    metadata = read_arrays_and_metadata(tmp_path / "out.safetensors")[1]
    assert metadata["lineage"] == lineage
    assert json.loads(metadata["view"])["normalization"] == normalization


def test_a_lineage_that_does_not_fit_is_named(tmp_path):
    """Keras' ResNet-50 has biases that torchvision's has not."""
    options = {"lineage": "keras", "width": 4}
    case = Case(model="resnet50", options=options, input_shape=(32, 32, 3), num_classes=3)
    network = declare_network(case.run())
    weights = {p.name: np.ones(p.shape, np.float32) for p in network.parameters}
    tensors = from_canonical(network, scheme_of("resnet50", "keras"), weights)
    write_arrays(tmp_path / "in.safetensors", tensors)
    given = {"model": "resnet50", "classes": "3", "shape": "32x32x3"}
    with pytest.raises(UsageError, match=r"Try --set model\.lineage=keras"):
        convert_for(
            tmp_path / "in.safetensors",
            tmp_path / "out.safetensors",
            assignments=["width=4"],
            **given,
        )
    convert_for(
        tmp_path / "in.safetensors",
        tmp_path / "out.safetensors",
        assignments=["width=4", "lineage=keras"],
        **given,
    )


def test_canonical_names_below_a_prefix(tmp_path):
    network = declare_network(MOBILENET.run())
    weights = {p.name: np.zeros(p.shape, np.float32) for p in network.parameters}
    wrapped = {f"source/{name}": value for name, value in weights.items()}
    found = unwrap(network, find_schemes("mobilenet_v2"), wrapped)
    assert found.tensors.keys() == weights.keys()
    assert found.notes == [f"Read without the prefix 'source/' of {len(weights)} names."]
    assert unwrap(network, find_schemes("mobilenet_v2"), weights).notes == []


def test_layers_that_are_only_counted_are_counted_from_zero():
    names = ["conv2d_9/kernel", "conv2d_10/vars/0", "conv2d_11/kernel", "block1_conv/kernel"]
    tensors = {name: np.zeros(1) for name in names}
    assert list(number_from_zero(tensors, ("conv2d",))) == [
        "conv2d/kernel",
        "conv2d_1/vars/0",
        "conv2d_2/kernel",
        "block1_conv/kernel",
    ]
    del tensors["conv2d_10/vars/0"]
    assert number_from_zero(tensors, ("conv2d",)).keys() == tensors.keys()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"to": "canonical"}, "Try --to keras, or 'k.h5'"),
        ({"to": "torch"}, "Try --to keras, or 'k.h5'"),
        (
            {"to": "keras", "model": "efficientnet_b0", "assignments": []},
            r"Try 'k.h5' and load_weights\(..., by_name=True\)",
        ),
    ],
)
def test_keras_3_ending_is_kept_for_what_keras_3_takes(changes, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.safetensors").write_bytes(b"not looked at")
    with pytest.raises(UsageError, match=named):
        convert_for(Path("in.safetensors"), Path("k.weights.h5"), **{**GIVEN, **changes})
    assert not Path("k.weights.h5").exists()


def test_layers_stand_in_the_order_of_keras_model():
    """As `keras.applications.ResNet50().layers` lists them: by depth, not as they are made."""
    case = Case(model="resnet50", options={"lineage": "keras"}, num_classes=3)
    network, scheme = declare_network(case.run()), scheme_of("resnet50", "keras")
    layers = scheme.layers(network)
    assert [layers[node.name] for node in keras_order(network, scheme)][:10] == [
        "conv1_conv",
        "conv1_bn",
        "conv2_block1_1_conv",
        "conv2_block1_1_bn",
        "conv2_block1_2_conv",
        "conv2_block1_2_bn",
        "conv2_block1_0_conv",
        "conv2_block1_3_conv",
        "conv2_block1_0_bn",
        "conv2_block1_3_bn",
    ]
    names = numbered_names(network, scheme)
    assert names["layer1/0/downsample/0/bias"] == "layers/conv2d_3/conv2_block1_0_conv/vars/1"
    assert names["bn1/moving_variance"] == "layers/batch_normalization/conv1_bn/vars/3"
    assert names["fc/kernel"] == "layers/dense/predictions/vars/0"


@pytest.mark.tf
def test_keras_3_layout_is_read_back_by_its_layers_names(tf_worker, tmp_path):
    path = str(tmp_path / "k.weights.h5")
    tensors = {"layers/conv2d_5/Conv1/vars/0": np.arange(6.0).reshape(1, 1, 2, 3)}
    tf_worker.call(Operations.write_published, path=path, tensors=tensors)
    found = tf_worker.call(Operations.read_published, path=path)
    assert found.keys() == {"Conv1/vars/0"}
    assert np.array_equal(found["Conv1/vars/0"], tensors["layers/conv2d_5/Conv1/vars/0"])


@pytest.mark.parametrize("ending", [".h5", ".weights.h5"])
def test_names_that_no_written_file_would_reach_are_refused(ending, tmp_path):
    """Keras' ConvNeXt holds models of its own, so its files are only read."""
    case = Case(
        model="convnext_tiny",
        options={"depths": [1, 1, 1, 1], "widths": [4, 4, 4, 4]},
        input_shape=(32, 32, 3),
        num_classes=3,
    )
    network = declare_network(case.run())
    weights = {p.name: np.ones(p.shape, np.float32) for p in network.parameters}
    write_arrays(tmp_path / "in.safetensors", weights)
    target = tmp_path / f"out{ending}"
    with pytest.raises(UsageError, match=r"such files can only be read\. Try --to canonical"):
        convert_for(
            tmp_path / "in.safetensors",
            target,
            model="convnext_tiny",
            classes="3",
            assignments=["depths=[1,1,1,1]", "widths=[4,4,4,4]"],
            shape="32x32x3",
            to="keras",
        )
    assert not target.exists()


# Keras' class, its options, our model and options, image side.
KERAS = {
    "MobileNetV2": ({"alpha": 0.35}, "mobilenet_v2", ["width=0.35"], 32),
    "MobileNetV3Small": (
        {"alpha": 0.35, "include_preprocessing": False},
        "mobilenet_v3_small",
        ["width=0.35", "lineage=keras"],
        32,
    ),
    "EfficientNetB0": ({}, "efficientnet_b0", [], 33),
    "ResNet50": ({}, "resnet50", ["lineage=keras"], 33),
    "ResNet50V2": ({}, "resnet50v2", [], 33),
    "VGG16": ({}, "vgg16", [], 32),
    "InceptionV3": ({}, "inception_v3", [], 76),
    "InceptionResNetV2": ({}, "inception_resnet_v2", [], 76),
}


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("name", KERAS)
def test_keras_own_files_and_back(name, tmp_path, workers):
    """Both of Keras' forms give its logits in both backends; it reads what is converted back."""
    options, model, assignments, side = KERAS[name]
    options = {**options, "classes": 7, "input_shape": [side, side, 3]}
    script = [sys.executable, "-W", "ignore", str(FOLDER / "foreign_keras.py")]
    arguments = [str(tmp_path), name, json.dumps(options)]
    subprocess.run([*script, "save", *arguments], check=True)
    given = {
        "model": model,
        "classes": "7",
        "assignments": assignments,
        "shape": f"{side}x{side}x3",
    }
    for file in ("saved.weights.h5", "saved.h5"):
        report = convert_for(tmp_path / file, tmp_path / f"{file}.safetensors", **given)
        assert report["from"] == "keras"
        assert report["notes"] == []
    weights = read_arrays(tmp_path / "saved.h5.safetensors")
    other = read_arrays(tmp_path / "saved.weights.h5.safetensors")
    assert all(np.array_equal(weights[key], other[key]) for key in weights)
    with np.load(tmp_path / "saved.npz") as file:
        images, logits = file["images"], file["logits"]
    pairs = dict(pair.split("=") for pair in assignments)
    case = Case(
        model=model,
        options={key: float(v) if key == "width" else v for key, v in pairs.items()},
        input_shape=(side, side, 3),
        num_classes=7,
    )
    if name != "EfficientNetB0":  # whose model normalises images itself
        for worker in workers:
            run = case.run(worker.backend).model_dump(mode="json")
            found = worker.call(Operations.logits, run=run, weights=weights, images=images)
            assert relative_error(found, logits) < 1e-4
        convert_for(
            tmp_path / "saved.h5.safetensors", tmp_path / "back.weights.h5", to="keras", **given
        )
        convert_for(tmp_path / "saved.h5.safetensors", tmp_path / "back.h5", to="keras", **given)
        subprocess.run([*script, "load", *arguments], check=True)
