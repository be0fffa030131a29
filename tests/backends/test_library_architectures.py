"""Architectures against their publications: counts, taps, and the libraries' own models."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from poc.shared.analysis.parity.rungs import relative_error
from poc.shared.engine.worker.handle import Worker
from poc.shared.errors import UsageError
from poc.shared.spec.networks.models import MODELS
from poc.shared.weights.conversion import to_canonical
from poc.shared.weights.published.table import SCHEMES, find_schemes
from poc.tests.helpers.networks.architectures_table import (
    COUNTS,
    KERAS_TOTALS,
    LADDER_CASES,
    NUM_REFERENCE_CLASSES,
    REFERENCES,
    Case,
)

SCRIPT = Path(__file__).parents[1] / "helpers" / "libraries" / "reference_models.py"
# float64, so that only rounding is left: another padding or epsilon differs by 1e-3 and more.
LOGITS, GRADIENTS = 1e-10, 1e-9


@pytest.fixture(scope="module")
def workers():
    with Worker("tf") as first, Worker("torch") as second:
        yield first, second


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the libraries compute; each framework in a process of its own, at the first use."""
    known: dict[str, dict[str, np.ndarray]] = {}

    def find(row):
        if row.build not in known:
            folder = tmp_path_factory.mktemp(row.build)
            sides = ",".join(str(side) for side in row.sides)
            command = [sys.executable, str(SCRIPT), row.framework, str(folder)]
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
            subprocess.run([*command, f"{row.build}:{sides}"], check=True, env=environment)
            with np.load(folder / f"{row.build}.npz") as file:
                known[row.build] = dict(file)
        return known[row.build]

    return find


@pytest.mark.parametrize("name", COUNTS)
def test_declared_counts(name):
    row = COUNTS[name]
    network = row.run().network
    sizes = [(parameter.size, parameter.is_trainable) for parameter in network.parameters]
    assert sum(size for size, is_trainable in sizes if is_trainable) == row.trainable
    assert sum(size for size, is_trainable in sizes if not is_trainable) == row.running
    if row.million_macs is not None:
        # Published to three or four digits, some without the dense layer.
        assert network.macs == pytest.approx(row.million_macs * 1e6, rel=2e-3)
    shapes = {node.name: node.output_shape for node in network.nodes}
    assert {tap: shapes[network.node_of(tap)] for tap in row.taps} == row.taps


@pytest.mark.parametrize("variant", KERAS_TOTALS)
def test_keras_counts_seven_more(variant):
    row = COUNTS[f"EfficientNet-{variant.upper()}, keras"]
    assert row.trainable + row.running + 7 == KERAS_TOTALS[variant]


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name in COUNTS if "as a source" not in name])
def test_built_counts(name, workers):
    row = COUNTS[name]
    for worker in workers:
        run = row.run(worker.backend)
        table = worker.call("parameters", run=run.model_dump(mode="json"))
        sizes = [(math.prod(item["shape"]), item["is_trainable"]) for item in table]
        assert sum(size for size, is_trainable in sizes if is_trainable) == row.trainable
        assert sum(size for size, is_trainable in sizes if not is_trainable) == row.running


REFERENCE_CASES = [
    pytest.param(row, side, id=f"{name}, {side}", marks=[pytest.mark.slow] if row.is_slow else [])
    for name, row in REFERENCES.items()
    for side in row.sides
]


@pytest.mark.parity
@pytest.mark.parametrize(("row", "side"), REFERENCE_CASES)
def test_same_function_as_the_library(row, side, workers, outputs):
    expected = outputs(row)
    case = row.case(side)
    network = case.run().network
    scheme = next(item for item in find_schemes(row.model) if item.name == row.scheme)
    weights = to_canonical(network, scheme, part(expected, "weights:"))
    gradients = to_canonical(
        network,
        scheme,
        {**part(expected, "weights:"), **part(expected, f"{side}/gradients:")},
    )
    batch = {"images": expected[f"{side}/images"], "labels": expected[f"{side}/labels"]}
    for worker in workers:
        run = case.run(worker.backend, precision="float64").model_dump(mode="json")
        logits = worker.call("logits", run=run, weights=weights, images=batch["images"])
        assert logits.shape == (len(batch["labels"]), NUM_REFERENCE_CLASSES)
        assert relative_error(logits, expected[f"{side}/logits"]) < LOGITS
        result = worker.call("loss_and_gradients", run=run, weights=weights, batch=batch)
        assert result["loss"] == pytest.approx(float(expected[f"{side}/loss"]), rel=LOGITS)
        assert result["gradients"].keys() == {
            parameter.name for parameter in network.parameters if parameter.is_trainable
        }
        for name, value in result["gradients"].items():
            if name in network.cancelled_biases:
                # Exactly zero here, rounding noise there (docs/decisions/0003).
                assert not value.any()
                assert np.abs(gradients[name]).max() < 1e-12
            else:
                assert relative_error(value, gradients[name]) < GRADIENTS, name


def part(arrays, prefix):
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def test_every_scheme_belongs_to_a_model():
    assert SCHEMES.keys() <= MODELS.keys()


@pytest.mark.parametrize("name", LADDER_CASES)
def test_names_are_unique_in_every_scheme(name):
    case = LADDER_CASES[name]
    network = case.run().network
    for scheme in find_schemes(case.model):
        if scheme.layout == "keras" and case.options.get("lineage") == "torchvision":
            continue
        names = list(scheme.tensors(network).values())
        assert len(set(names)) == len(names) == len(network.parameters)


@pytest.mark.parametrize(
    ("case", "named"),
    [
        (Case(model="vgg16", input_shape=(16, 16, 3)), "vgg16, layer stage5/pool"),
        (Case(model="vgg16", options={"head": "none"}), "model.head='none'"),
        (Case(model="efficientnet_b0", options={"lineage": "timm"}), "model.lineage='timm'"),
        (Case(model="mobilenet_v2", options={"width": 0}), "model.width=0"),
        (Case(model="resnet32_cifar", options={"alphas": 1}), "'model.alphas'"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(case, named):
    with pytest.raises(UsageError, match=r"^received|^vgg16") as error:
        _ = case.run().network
    assert named in str(error.value)
