"""Published weight files: golden outputs, conversion both ways, refusals, starts of runs."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poc.cli import cli
from poc.shared.actions.weights.convert import convert_for
from poc.shared.analysis.parity.rungs import relative_error
from poc.shared.engine.launch import imagenet
from poc.shared.engine.launch.run import launch_run
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays, read_arrays_and_metadata, write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.weights import start
from poc.shared.weights.conversion import find_scheme, from_canonical, to_canonical
from poc.shared.weights.header import describe_weights
from poc.shared.weights.published.table import IMAGENET_ORIGINS, find_schemes
from poc.tests.helpers.architectures.row import Case
from poc.tests.helpers.architectures.table import ARCHITECTURES, NAMED_CASES, SMALL_CASES

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT.parent / "shared" / "data" / "weights"
needs_weights = [
    pytest.mark.needs_data,
    pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/data/weights, not there"),
]
# float32 on a CPU; largest golden values are 20 (logits), 6 (pooled) and 1 (probabilities).
ABSOLUTE, PROBABILITIES = 1e-4, 1e-5


@dataclass(frozen=True, kw_only=True)
class Golden(Case):
    """A published file, the draw of its golden images, its taps."""

    file: str
    scheme: str
    num_tensors: int
    batch: int
    is_normal: bool = False
    taps: tuple[str, ...] = ()

    def images(self) -> np.ndarray:
        generator = np.random.default_rng(0)
        shape = (self.batch, *self.input_shape)
        drawn = (
            generator.standard_normal(shape) if self.is_normal else generator.uniform(-1, 1, shape)
        )
        return drawn.astype("float32")

    def expected(self) -> dict[str, np.ndarray]:
        with np.load(WEIGHTS / f"{self.file}_golden.npz") as file:
            return dict(file)

    def weights(self) -> dict[str, np.ndarray]:
        tensors = read_arrays(WEIGHTS / f"{self.file}.safetensors")
        network = declare_network(self.run())
        scheme = find_scheme(network, find_schemes(self.model), tensors)
        return to_canonical(network, scheme, tensors)


GOLDEN = {
    row.file: row
    for row in (
        Golden(
            model="resnet32_cifar",
            file="resnet32_tinyimagenet",
            scheme="l2t_ww",
            num_tensors=201 - 33,
            input_shape=(32, 32, 3),
            num_classes=200,
            batch=4,
            is_normal=True,
            taps=("block4", "block9", "block14"),
        ),
        Golden(
            model="mobilenet_v2",
            file="mobilenetv2_dogs19",
            scheme="keras",
            num_tensors=262,
            input_shape=(160, 160, 3),
            num_classes=19,
            batch=2,
        ),
        Golden(
            model="efficientnet_lite0",
            file="efficientnet_lite0_imagenet",
            scheme="efficientnet_pytorch",
            num_tensors=296 - 49,
            batch=2,
        ),
    )
}


@pytest.fixture(scope="module")
def workers():
    with Worker("tf") as first, Worker("torch") as second:
        yield first, second


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_a_file_that_stands_there_is_replaced_only_when_asked(tmp_path):
    write_arrays(tmp_path / "in.safetensors", drawn(MOBILENET))
    (tmp_path / "out.safetensors").write_text("mine")
    files = [str(tmp_path / "in.safetensors"), str(tmp_path / "out.safetensors")]
    options = ["--model", "mobilenet_v2", "--classes", "3", "--set", "width=0.125"]
    with pytest.raises(UsageError, match=r"which exists\. Expected a new file"):
        cli.main(["weights", "convert", *files, *options], standalone_mode=False)
    assert (tmp_path / "out.safetensors").read_text() == "mine"
    cli.main(["weights", "convert", *files, *options, "--overwrite"], standalone_mode=False)
    assert len(read_arrays(tmp_path / "out.safetensors")) == len(drawn(MOBILENET))


@pytest.mark.parity
@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=needs_weights, id=name) for name, row in GOLDEN.items()]
)
def test_golden_outputs(row, workers):
    images, expected = row.images(), row.expected()
    assert hashlib.sha256(images.tobytes()).hexdigest() == str(expected["input_sha256"])
    weights, taps = row.weights(), ["logits", "pool", *row.taps]
    for worker in workers:
        run = row.run(worker.backend).model_dump(mode="json")
        maps = worker.call(Operations.features, run=run, weights=weights, images=images, taps=taps)
        found = {"logits": maps["logits"], "pooled": maps["pool"]}
        found |= {
            f"{tap.replace('block', 'tap')}_mean_nc": maps[tap].mean(axis=(1, 2))
            for tap in row.taps
        }
        found["tap_means"] = np.array([maps[tap].mean() for tap in row.taps])
        names = [name for name in found if name in expected]
        assert len(names) == 1 + ("pooled" in expected) + len(row.taps) + bool(row.taps) - (
            "logits" not in expected
        )
        for name in names:
            assert np.abs(found[name] - expected[name]).max() < ABSOLUTE, name
        if "probabilities" in expected:
            difference = np.abs(softmax(maps["logits"]) - expected["probabilities"]).max()
            assert difference < PROBABILITIES


@pytest.mark.parity
@pytest.mark.needs_data
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs ../shared/data/weights, not there")
def test_symmetric_padding_is_another_network(workers):
    """Every count and shape agrees, and the pooled features are off by units: padding matters."""
    row = GOLDEN["mobilenetv2_dogs19"]
    other = Case(
        model="mobilenet_v2",
        options={"lineage": "torchvision", "dropout": 0.0},
        input_shape=row.input_shape,
        num_classes=row.num_classes,
    )
    arguments = {"weights": row.weights(), "images": row.images(), "taps": ["pool"]}
    for worker in workers:
        run = other.run(worker.backend).model_dump(mode="json")
        pooled = worker.call(Operations.features, run=run, **arguments)["pool"]
        assert np.abs(pooled - row.expected()["pooled"]).max() > 1


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=needs_weights, id=name) for name, row in GOLDEN.items()]
)
def test_real_file_survives_the_round_trip(row, tmp_path):
    source, canonical = WEIGHTS / f"{row.file}.safetensors", tmp_path / "canonical.safetensors"
    back = tmp_path / "back.safetensors"
    shape = "x".join(str(side) for side in row.input_shape)
    given = {"model": row.model, "classes": str(row.num_classes), "shape": shape}
    report = convert_for(source, canonical, **given)
    assert (report["from"], report["to"]) == (row.scheme, "canonical")
    assert report["tensors"] == row.num_tensors
    convert_for(canonical, back, to=row.scheme, **given)
    before, after = read_arrays(source), read_arrays(back)
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert name.endswith("num_batches_tracked") or np.array_equal(value, after[name]), name


def drawn(case: Case) -> dict[str, Any]:
    """Weights in which no two values are alike, so that a swapped axis cannot hide."""
    generator = np.random.default_rng(3)
    table = declare_network(case.run()).parameters
    return {p.name: generator.normal(size=p.shape).astype(np.float32) for p in table}


# What is climbed whole, and the first net of every other table of names.
FIRST = {find_schemes(case.model): name for name, case in reversed(NAMED_CASES.items())}
WHOLE = {name for name in NAMED_CASES if ARCHITECTURES[name].small.climb == "whole"}
ROUND_TRIPS = sorted({*WHOLE, *FIRST.values()})


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_every_scheme_survives_the_round_trip(name):
    case = NAMED_CASES[name]
    network, weights = declare_network(case.run()), drawn(case)
    for scheme in find_schemes(case.model):
        # Nested ones are read alone: test_foreign_weights reads Keras' files, and sees the refusal.
        if scheme.is_nested or not scheme.can_name(network):
            continue
        published = from_canonical(network, scheme, weights)
        again = to_canonical(network, scheme, published)
        assert all(np.array_equal(weights[key], again[key]) for key in weights), scheme.name
        found = find_scheme(network, find_schemes(case.model), published)
        # timm has DINOv2's own names where there are no registers.
        assert found is None or found.tensors(network) == scheme.tensors(network)


MOBILENET = SMALL_CASES["mobilenet_v2 keras"]
GIVEN = {
    "model": "mobilenet_v2",
    "classes": "3",
    "shape": "65x64x3",
    "assignments": ["width=0.125"],
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("block_3_expand/kernel"), "without block_3_expand/kernel"),
        (lambda t: t.update({"extra/kernel": np.zeros(3)}), "with extra/kernel"),
        (
            lambda t: t.update({"bn_Conv1/gamma": np.zeros(9, np.float32)}),
            r"bn_Conv1/gamma of shape \(9,\)",
        ),
    ],
    ids=["missing", "extra", "misshapen"],
)
def test_wrong_tensor_is_named(change, named, tmp_path):
    network, weights = declare_network(MOBILENET.run()), drawn(MOBILENET)
    tensors = from_canonical(network, find_schemes("mobilenet_v2")[0], weights)
    change(tensors)
    write_arrays(tmp_path / "in.safetensors", tensors)
    with pytest.raises(UsageError, match=named):
        convert_for(tmp_path / "in.safetensors", tmp_path / "out.safetensors", **GIVEN)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "vgg17"}, "'vgg17'"),
        ({"model": "simple_cnn", "assignments": []}, "stage1"),
        ({"origin": "timm"}, "format 'timm'"),
        ({"to": "onnx"}, "format 'onnx'"),
        ({"shape": "65"}, "--input '65'"),
        ({"classes": "4"}, "(1280, 3)"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(changes, named, tmp_path):
    write_arrays(tmp_path / "in.safetensors", drawn(MOBILENET))
    with pytest.raises(UsageError) as error:
        convert_for(
            tmp_path / "in.safetensors", tmp_path / "out.safetensors", **{**GIVEN, **changes}
        )
    assert named in str(error.value) or "no naming of simple_cnn" in str(error.value)


def test_the_command_exits_2_and_names_the_tensor(tmp_path):
    weights = drawn(MOBILENET)
    del weights["top/norm/beta"]
    write_arrays(tmp_path / "in.safetensors", weights)
    command = [sys.executable, "-m", "poc.cli", "weights", "convert"]
    files = [str(tmp_path / "in.safetensors"), str(tmp_path / "out.safetensors")]
    options = ["--model", "mobilenet_v2", "--classes", "3", "--set", "width=0.125"]
    done = subprocess.run([*command, *files, *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert "top/norm/beta" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parity
def test_framework_files_and_back(tmp_path):
    """Canonical -> .pth -> .h5 -> canonical, through both frameworks' own formats."""
    first, last = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_arrays(first, drawn(MOBILENET))
    convert_for(first, tmp_path / "a.pth", to="torch", **GIVEN)
    convert_for(tmp_path / "a.pth", tmp_path / "a.h5", to="keras", **GIVEN)
    report = convert_for(tmp_path / "a.h5", last, **GIVEN)
    assert report["from"] == "keras"
    before, after = read_arrays(first), read_arrays(last)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.torch
def test_a_pickle_with_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    code = "import torch, sys; torch.save({'state_dict': print}, sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    with pytest.raises(UsageError, match="weights_only"):
        convert_for(path, tmp_path / "out.safetensors", **GIVEN)


KERAS_FILES = """
import sys
import keras
import numpy as np
model = keras.applications.MobileNetV2(
    alpha=0.35, input_shape=(32, 32, 3), classes=3, weights=None
)
for variable in model.weights:
    variable.assign(np.random.default_rng(len(variable.path)).normal(size=variable.shape))
outputs = keras.layers.Lambda(lambda x: 1 / 0 if False else x)(model.output)
model.save(sys.argv[1] + "/model.keras")
keras.Model(model.input, outputs).save(sys.argv[1] + "/lambda.keras")
model.save(sys.argv[1] + "/model.h5")
model.save_weights(sys.argv[1] + "/model.weights.h5")
np.savez(sys.argv[1] + "/expected.npz", **{v.path: np.asarray(v) for v in model.weights})
"""


@pytest.mark.tf
def test_keras_files_are_read_without_running_them(tmp_path):
    """The whole model, one with a Lambda, the HDF5 form and the numbered weights: the same."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", KERAS_FILES, str(tmp_path)], check=True)
    case = Case(
        model="mobilenet_v2", options={"width": 0.35}, input_shape=(32, 32, 3), num_classes=3
    )
    keras = find_schemes("mobilenet_v2")[0]
    with np.load(tmp_path / "expected.npz") as file:
        expected = to_canonical(declare_network(case.run()), keras, dict(file))
    given = {**GIVEN, "shape": "32x32x3", "assignments": ["width=0.35"]}
    for file in ("model.keras", "lambda.keras", "model.h5", "model.weights.h5"):
        convert_for(tmp_path / file, tmp_path / "out.safetensors", **given)
        found = read_arrays(tmp_path / "out.safetensors")
        assert all(np.array_equal(found[name], expected[name]) for name in expected), file


def test_a_run_starts_from_a_file_and_draws_another_head():
    case = SMALL_CASES["vgg9_bn 10"]
    network, weights = declare_network(case.run()), drawn(case)
    fresh = draw_weights(network.parameters, 0)
    assert start.transfer(network, weights, fresh).keys() == weights.keys()
    wide = {**weights, "head/kernel": np.ones((26, 9)), "head/bias": np.ones(9)}
    result = start.transfer(network, wide, fresh)
    assert np.array_equal(result["head/kernel"], fresh["head/kernel"])
    assert np.array_equal(result["stage1/conv1/kernel"], weights["stage1/conv1/kernel"])
    del wide["stage1/conv1/bias"]
    with pytest.raises(UsageError, match="without stage1/conv1/bias"):
        start.transfer(network, wide, fresh)
    with pytest.raises(UsageError, match="head/kernel"):
        start.transfer(network, {**weights, "head/kernel": np.ones((5, 3))}, fresh)


def test_dense_layers_of_vgg_give_way_to_a_global_average():
    dense = Case(model="vgg16", options={"width": 0.05}, input_shape=(64, 32, 3), num_classes=9)
    pooled = Case(
        model="vgg16",
        options={"width": 0.05, "head": "global_average"},
        input_shape=(64, 32, 3),
        num_classes=3,
    )
    network = declare_network(pooled.run())
    fresh = draw_weights(network.parameters, 0)
    result = start.transfer(network, drawn(dense), fresh)
    assert result.keys() == fresh.keys()
    assert np.array_equal(result["head/kernel"], fresh["head/kernel"])


# The other members of each family run the same code on larger tensors.
SMALL_ORIGINS = [key for key in IMAGENET_ORIGINS if key[0] in ("mobilenet_v2", "efficientnet_b0")]


@pytest.mark.parametrize(("model", "lineage"), SMALL_ORIGINS)
def test_imagenet_weights_are_fetched_once_and_cached(model, lineage, tmp_path, monkeypatch):
    """No network here: the download is replaced by random tensors under the published names."""
    monkeypatch.setenv("POC_CACHE", str(tmp_path))
    options = {"lineage": lineage} if lineage else {}
    run = Case(model=model, options=options, num_classes=5).run(initial_weights="imagenet")
    published = Case(model=model, options=options)
    calls = []

    def fetch(backend, name):
        calls.append((backend, name))
        network = declare_network(published.run())
        scheme = next(
            item
            for item in find_schemes(model)
            if item.name == ("keras" if backend == "tf" else "torchvision")
        )
        return from_canonical(network, scheme, drawn(published))

    resolved = imagenet.resolve_imagenet(run, fetch)
    assert Path(resolved.initial_weights).is_relative_to(tmp_path)
    assert imagenet.resolve_imagenet(run, fetch) == resolved
    origin = IMAGENET_ORIGINS[model, lineage]
    assert calls == [(origin.backend, origin.name)]
    # The published view is in the file, for those who take it by its path.
    found = describe_weights(resolved.initial_weights, {})
    assert (found.model, found.lineage or "") == (model, lineage)
    named = {"model": {"name": model, "options": options}}
    assert found.view == describe_weights("imagenet", named).view
    weights = start.initial_weights(resolve_networks(resolved))
    assert np.array_equal(weights["stem/conv/kernel"], drawn(published)["stem/conv/kernel"])
    assert weights["head/kernel"].shape[-1] == 5


def test_a_model_by_its_name_comes_from_a_framework_that_is_there(tmp_path, monkeypatch):
    """MobileNetV2 is Keras' by default; with PyTorch alone it is torchvision's."""
    monkeypatch.setenv("POC_CACHE", str(tmp_path))
    missing = {"tf": [], "torch": []}
    monkeypatch.setattr(imagenet, "find_missing", missing.__getitem__)
    calls = []

    def fetch(backend, name):
        calls.append((backend, name))
        lineage = "keras" if backend == "tf" else "torchvision"
        case = Case(model="mobilenet_v2", options={"lineage": lineage})
        network = declare_network(case.run())
        scheme = next(item for item in find_schemes("mobilenet_v2") if item.name == lineage)
        return from_canonical(network, scheme, drawn(case))

    first = imagenet.locate_named("mobilenet_v2", fetch)
    missing["tf"] = ["tensorflow"]
    second = imagenet.locate_named("mobilenet_v2", fetch)
    assert calls == [("tf", "MobileNetV2"), ("torch", "mobilenet_v2")]
    assert [describe_weights(str(path), {}).lineage for path in (first, second)] == [
        "keras",
        "torchvision",
    ]


def test_a_cached_file_of_before_gets_its_view(tmp_path, monkeypatch):
    monkeypatch.setenv("POC_CACHE", str(tmp_path))
    case = Case(model="mobilenet_v2", options={"lineage": "keras"})
    network = declare_network(case.run())
    scheme = next(item for item in find_schemes("mobilenet_v2") if item.name == "keras")
    tensors = from_canonical(network, scheme, drawn(case))
    path = imagenet.locate_imagenet(case.run().model_spec, lambda *names: tensors)
    arrays, metadata = read_arrays_and_metadata(path)
    assert metadata.pop("view")
    write_arrays(path, arrays, **metadata)
    assert describe_weights(str(path), {}).view == {}
    imagenet.locate_imagenet(case.run().model_spec)
    assert describe_weights(str(path), {}).view["normalization"] == "tf"
    assert read_arrays_and_metadata(path)[0].keys() == arrays.keys()


def test_imagenet_is_refused_where_nobody_publishes_it():
    run = SMALL_CASES["simple_cnn"].run(initial_weights="imagenet")
    with pytest.raises(UsageError, match="imagenet for simple_cnn"):
        imagenet.resolve_imagenet(run)


def test_a_missing_file_is_refused_before_a_worker_starts(tmp_path):
    run = load_run(None, method="scratch", initial_weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(UsageError, match=r"none\.safetensors"):
        launch_run(run, tmp_path / "run", command="", overwrite=False, report=print)
    assert not (tmp_path / "run").exists()


@pytest.mark.parity
def test_both_backends_start_from_the_same_file(workers):
    """The tables of both backends take the file as it is, and give the same logits."""
    case = SMALL_CASES["efficientnet_lite0"]
    network = declare_network(case.run())
    weights = draw_weights(network.parameters, 4)
    images = np.random.default_rng(0).normal(size=(2, *case.input_shape)).astype(np.float32)
    first, second = (
        worker.call(
            Operations.logits,
            run=case.run(worker.backend).model_dump(mode="json"),
            weights=weights,
            images=images,
        )
        for worker in workers
    )
    assert relative_error(first, second) < 1e-5
