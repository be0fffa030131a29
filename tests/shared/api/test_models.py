"""`build_model` and `load_model`: what a framework is given, in place of the framework itself."""

from pathlib import Path

import numpy as np
import pytest

from poc.shared.actions.weights.of_run import convert_run
from poc.shared.api import models
from poc.shared.api.models import build_model, load_model
from poc.shared.engine.folder.record import RunRecord
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays, write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.tests.faults.test_resume import RUN, train, with_teacher

SCRIPT = Path(__file__).parents[2] / "helpers" / "api" / "native_models.py"
SMALL = {"input_shape": (16, 16, 3), "num_classes": 4}
RESNET = {"name": "resnet32_cifar", "backend": "torch", **SMALL}
NOT_GIVEN = object()


class Made:
    """What the framework was given, in place of a model of it."""

    def __init__(self, network, weights, names):
        self.network, self.weights, self.names, self.is_evaluated = network, weights, names, False

    def eval(self):
        self.is_evaluated = True
        return self


class Framework:
    build_native_model = staticmethod(Made)


@pytest.fixture
def made(monkeypatch):
    """The backends that were asked for; each gives back what it gets."""
    asked = []

    def load_framework(backend):
        asked.append(backend)
        return Framework

    monkeypatch.setattr(models, "load_framework", load_framework)
    return asked


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs of the stub: a plain one, and one of a method that trains more than its network."""
    root = tmp_path_factory.mktemp("models")
    options = {"widths": [2, 3], "k": 1, "layer": "light"}
    train(root / "plain", {**RUN, "model": {"name": "lightnet_residual", "options": options}})
    train(root / "fitnets", with_teacher(root))
    return root


def test_a_new_model_has_the_declared_initial_weights(made):
    model = build_model(**RESNET, seed=7)
    assert made == ["torch"]
    assert not model.is_evaluated
    assert model.network.input_shape == (16, 16, 3)
    drawn = draw_weights(model.network.parameters, 7)
    assert model.weights.keys() == drawn.keys()
    for name, value in drawn.items():
        assert np.array_equal(model.weights[name], value), name
    other = build_model(**RESNET, seed=8)
    kernel = model.network.parameters[0].name
    assert not np.array_equal(other.weights[kernel], model.weights[kernel])


def test_layers_are_named_for_the_framework(made):
    torch, tf = (build_model("resnet18", backend=name, **SMALL) for name in ("torch", "tf"))
    assert made == ["torch", "tf"]
    assert "layer1.0.conv1" in torch.names.values()
    assert "/" not in "".join(tf.names.values())
    assert [node.name for node in torch.network.nodes] == [node.name for node in tf.network.nodes]


def test_options_of_the_architecture_are_keywords(made):
    light = {"backend": "tf", "input_shape": (28, 28, 1), "num_classes": 10}
    model = build_model("lightnet_plain", **light, k=1, widths=[4, 4])
    assert {len(p.shape) for p in model.network.parameters} >= {1, 4}
    other = build_model("lightnet_plain", **light, k=2, widths=[4, 4])
    assert sum(p.size for p in other.network.parameters) > sum(
        p.size for p in model.network.parameters
    )
    shorter = build_model("resnet32_cifar", backend="tf", **SMALL, removed=["stage1/block2"])
    assert len(shorter.network.nodes) < len(build_model(**RESNET).network.nodes)


def test_all_layers_train_and_auxiliary_heads_are_left_out(made):
    shape = {"input_shape": (75, 75, 3), "num_classes": 3}
    model = build_model("googlenet", backend="torch", **shape, auxiliary=True)
    assert not model.network.auxiliary
    assert not any(node.is_frozen for node in model.network.nodes)
    assert model.weights.keys() == {p.name for p in model.network.parameters}


def test_weights_of_a_file_and_a_new_head_for_other_classes(made, tmp_path):
    first = build_model(**RESNET, seed=1)
    write_arrays(tmp_path / "w.safetensors", first.weights, model="resnet32_cifar")
    again = build_model(**RESNET, weights=tmp_path / "w.safetensors")
    assert all(np.array_equal(again.weights[name], v) for name, v in first.weights.items())
    fewer = build_model(**{**RESNET, "num_classes": 2}, weights=tmp_path / "w.safetensors", seed=3)
    drawn = draw_weights(fewer.network.parameters, 3)
    changed = [n for n, v in fewer.weights.items() if not np.array_equal(v, first.weights.get(n))]
    head = fewer.network.parameters[-1].name.rpartition("/")[0]
    assert set(changed) == {f"{head}/kernel", f"{head}/bias"}
    assert all(np.array_equal(fewer.weights[name], drawn[name]) for name in changed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "resnet19"}, r"^Got the model 'resnet19'.*Try resnet1"),
        ({"depth": 3}, r"^Got the unknown key 'depth'"),
        ({"name": None}, r"^Got the model 'None'"),
        ({"name": []}, r"^Got the model '\[\]'"),
        ({"input_shape": None}, r"^Got a run with input_shape=None"),
        ({"input_shape": 16}, r"^Got input_shape=16\."),
        ({"weights": 3}, r"^Got weights=3\. Expected a path"),
        ({"backend": ""}, r"^Got backend=''"),
        ({"input_shape": (16, 16)}, r"^Got input_shape=\[16, 16\]"),
        ({"num_classes": 1}, r"^Got num_classes=1"),
        ({"weights": "gone.safetensors"}, r"^Got weights='gone\.safetensors', which is no file"),
        ({"seed": -1}, r"^Got seed=-1"),
        ({"backend": "jax"}, r"^Got backend='jax'"),
    ],
)
def test_wrong_models_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        build_model(**{**RESNET, **given})


@pytest.mark.parametrize("name", ["plain", "fitnets"])
def test_a_run_opens_in_both_frameworks(name, folders, made):
    record = RunRecord.read(folders / name)
    best = read_arrays(folders / name / "checkpoints" / "best.safetensors")
    for backend in (None, "tf", "torch"):
        model = load_model(str(folders / name), backend=backend)
        assert made[-1] == backend or (backend is None and made[-1] == record.spec.backend)
        assert model.is_evaluated == (made[-1] == "torch")
        assert model.network.input_shape == record.spec.input_shape
        # What the method trained beside its network stays behind.
        assert model.weights.keys() <= best.keys()
        for key, value in model.weights.items():
            assert np.array_equal(value, best[key]), key


def test_a_checkpoint_by_name_or_by_path(folders, made):
    last = read_arrays(folders / "plain" / "checkpoints" / "last.safetensors")
    for model in (
        load_model(folders / "plain", checkpoint="last"),
        load_model(folders / "plain" / "checkpoints" / "last.safetensors"),
    ):
        assert all(np.array_equal(value, last[key]) for key, value in model.weights.items())


def test_a_converted_run_describes_itself(folders, made, tmp_path):
    convert_run(folders / "plain", tmp_path / "w.safetensors")
    expected = load_model(folders / "plain")
    model = load_model(tmp_path / "w.safetensors", backend="tf")
    assert made == ["torch", "tf"]
    assert model.network == expected.network
    assert all(np.array_equal(model.weights[name], v) for name, v in expected.weights.items())
    with pytest.raises(UsageError, match=r"^Got block.* of shape"):
        load_model(tmp_path / "w.safetensors", k=2)


def test_a_run_with_lora_opens_as_the_plain_network(folders, made, tmp_path):
    options = {"widths": [2, 3], "layer": "conv2d"}
    lora = {"rank": 2, "alpha": 3.0, "targets": ["*/conv1"]}
    network = {"name": "lightnet_residual", "options": options}
    train(tmp_path / "lora", {**RUN, "method": "transfer", "model": network, "lora": lora})
    model = load_model(tmp_path / "lora")
    own = read_arrays(tmp_path / "lora" / "checkpoints" / "best.safetensors")
    a, b = (own[f"block1/conv1/lora/{name}/kernel"] for name in "ab")
    merged = own["block1/conv1/kernel"] + 1.5 * (a @ b)
    assert np.allclose(model.weights["block1/conv1/kernel"], merged, rtol=1e-6, atol=1e-7)
    assert own.keys() - model.weights.keys() == {name for name in own if "/lora/" in name}
    convert_run(tmp_path / "lora", tmp_path / "w.safetensors")
    plain = load_model(tmp_path / "w.safetensors")
    assert plain.network == model.network
    assert all(np.array_equal(plain.weights[name], v) for name, v in model.weights.items())


def test_what_a_header_lacks_is_named_and_given_by_keywords(folders, made, tmp_path):
    weights = load_model(folders / "plain").weights
    write_arrays(tmp_path / "w.safetensors", weights)
    with pytest.raises(
        UsageError, match=r"header lacks model, input_shape, num_classes\..*model=…"
    ):
        load_model(tmp_path / "w.safetensors")
    given = {"model": "lightnet_residual", "input_shape": (28, 28, 1), "num_classes": 10}
    options = {"widths": [2, 3], "k": 1, "layer": "light"}
    model = load_model(tmp_path / "w.safetensors", **given, **options)
    assert model.network == load_model(folders / "plain").network
    with pytest.raises(UsageError, match=r"^Got num_classes=0\."):
        load_model(tmp_path / "w.safetensors", **{**given, "num_classes": 0}, **options)


def test_the_lineage_of_a_file_is_taken(made, tmp_path):
    first = build_model("mobilenet_v2", backend="torch", **SMALL, width=0.25, lineage="keras")
    write_arrays(
        tmp_path / "w.safetensors",
        first.weights,
        model="mobilenet_v2",
        lineage="keras",
        classes="4",
    )
    model = load_model(tmp_path / "w.safetensors", input_shape=(16, 16, 3), width=0.25)
    assert model.network == first.network
    with pytest.raises(UsageError, match=r"lineage 'keras'.*Try lineage=keras"):
        load_model(
            tmp_path / "w.safetensors",
            input_shape=(16, 16, 3),
            width=0.25,
            lineage="torchvision",
        )


@pytest.mark.parametrize(
    ("source", "given", "words"),
    [
        ("plain", {"model": "resnet18"}, r"^Got model with .*whose run describes its network"),
        ("plain", {"k": 3}, r"^Got k with"),
        ("plain", {"checkpoint": "first"}, r"first\.safetensors', which does not exist"),
        (".", {}, r"which has no run\.json"),
        ("gone", {}, r"where nothing is"),
        ("plain/checkpoints/best.safetensors", {"checkpoint": "last"}, r"with the weight file"),
        ("plain/run.json", {}, r"^Got the weights .*Expected a canonical safetensors file"),
    ],
)
def test_wrong_sources_are_refused(source, given, words, folders, made):
    with pytest.raises(UsageError, match=words):
        load_model(folders / source, **given)
    assert made == []


@pytest.mark.parametrize("source", [None, 3, "", b"x"])
def test_a_source_is_a_path(source):
    with pytest.raises(UsageError, match=r"^Got source=.* Expected a path"):
        load_model(source)
