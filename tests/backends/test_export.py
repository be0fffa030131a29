"""Each backend's files, run outside the framework, against the backend's own logits."""

from pathlib import Path

import numpy as np
import pytest

from poc.shared.data.views.normalization import normalize
from poc.shared.engine.export.runtimes import FORMATS
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network

# float32 sums taken in another order.
TOLERANCE = 1e-5
FORMAT_OF = {form.backend: name for name, form in FORMATS.items()}
NETS = {
    "residual light": ("lightnet_residual", {"k": 2}, (20, 16, 3)),
    "chain": ("conv2d_chain", {"widths": [3, 4]}, (28, 28, 1)),
}
# resnet50v2 pads a max-pool with zeros, which ONNX Runtime's optimiser would lose.
LARGER = {
    "plain light": ("lightnet_plain", {"k": 2, "scale": "reference"}, (20, 16, 3)),
    "resnet18": ("resnet18", {}, (64, 64, 3)),
    "mobilenet_v2": ("mobilenet_v2", {}, (64, 64, 3)),
    "efficientnet_b0": ("efficientnet_b0", {}, (64, 64, 3)),
    "mobilenet_v3_small": ("mobilenet_v3_small", {}, (64, 64, 3)),
    "convnext_tiny": (
        "convnext_tiny",
        {"depths": [1, 1, 2, 1], "widths": [8, 12, 16, 20], "layer_scale": 0.5},
        (64, 64, 3),
    ),
    "googlenet": ("googlenet", {}, (28, 28, 1)),
    "vgg9_bn": ("vgg9_bn", {}, (32, 32, 3)),
    "resnet50v2": ("resnet50v2", {}, (64, 64, 3)),
}


def prepare(name, options, shape, normalization="unit"):
    assignments = [f"model.{key}={value!r}".replace("'", '"') for key, value in options.items()]
    assignments = [f"model.name={name}", f"data.normalization={normalization}", *assignments]
    run = load_run(None, assignments, method="scratch", input_shape=shape, num_classes=4)
    generator = np.random.default_rng(3)
    weights = {
        name: value + generator.uniform(0.0, 0.1, value.shape)
        if not name.endswith("kernel")
        else value
        for name, value in draw_weights(declare_network(run).parameters, 0).items()
    }
    images = generator.integers(0, 256, (5, *shape), dtype=np.uint8)
    return run, weights, images


def export_and_run(worker, backend, folder, case, precision="float32", **options):
    """Logits of the network for normalised images, and of the file for the same in uint8."""
    run, weights, images = prepare(*case)
    spec = {**run.model_dump(mode="json"), "backend": backend}
    seen = normalize(images, run.data.normalization)
    expected = worker.call(Operations.logits, run=spec, weights=weights, images=seen)
    path = folder / f"model.{FORMAT_OF[backend]}"
    arguments = {"precision": precision, "calibration": images, "merges_shortcuts": True}
    worker.call(
        Operations.export, run=spec, weights=weights, path=str(path), **(arguments | options)
    )
    model = FORMATS[FORMAT_OF[backend]].open(path)
    found = np.concatenate([model.logits(images[:1]), model.logits(images[1:])])
    return expected, found, path


def relative_error(first, second):
    assert first.shape == second.shape
    assert np.isfinite(first).all()
    return np.abs(first - second).max() / np.abs(second).max()


@pytest.mark.parametrize("name", NETS)
def test_a_float32_file_answers_like_the_network(name, worker, backend, tmp_path: Path):
    expected, found, _ = export_and_run(worker, backend, tmp_path, NETS[name])
    assert relative_error(found, expected) < TOLERANCE


@pytest.mark.parametrize("normalization", ["torch", "tf", "caffe", "none"])
def test_the_file_normalises_itself(normalization, worker, backend, tmp_path: Path):
    """The channels of `caffe` are turned; each has a mean of its own, as with `torch`."""
    case = (*NETS["residual light"], normalization)
    expected, found, _ = export_and_run(worker, backend, tmp_path, case)
    assert relative_error(found, expected) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("normalization", ["unit", "torch", "tf", "caffe", "none"])
def test_it_does_so_at_fewer_bits(normalization, precision, worker, backend, tmp_path: Path):
    """Without its normalisation, or with another, the logits would differ by more than half."""
    case = ("lightnet_residual", {"k": 2}, (20, 16, 3), normalization)
    expected, found, _ = export_and_run(
        worker, backend, tmp_path, case, precision, merges_shortcuts=False
    )
    assert relative_error(found, expected) < {"float16": 5e-3, "int8": 0.3}[precision]


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGER)
def test_larger_networks_answer_too(name, worker, backend, tmp_path: Path):
    expected, found, _ = export_and_run(worker, backend, tmp_path, LARGER[name])
    assert relative_error(found, expected) < TOLERANCE


@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 5e-3), ("int8", 0.3)])
def test_fewer_bits_make_a_smaller_file_and_a_bounded_error(
    precision, tolerance, worker, backend, tmp_path: Path
):
    """The bounds are of the numbers' own steps: 2^-11 and a few 256ths, added up over layers."""
    case = ("lightnet_residual", {"k": 2, "layer": "conv2d", "widths": [16, 32]}, (20, 16, 3))
    expected, found, path = export_and_run(worker, backend, tmp_path, case)
    full = path.stat().st_size
    _, found, path = export_and_run(
        worker, backend, tmp_path, case, precision, merges_shortcuts=False
    )
    assert relative_error(found, expected) < tolerance
    assert relative_error(found, expected) > TOLERANCE
    assert path.stat().st_size < full
