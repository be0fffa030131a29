"""Architectures against the libraries' own models under equal weights, and published names."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from poc.shared.analysis.parity.rungs import relative_error
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.resolved import declare_network
from poc.shared.weights.conversion import to_canonical
from poc.shared.weights.published.table import SCHEMES, find_schemes
from poc.tests.helpers.architectures.row import NUM_REFERENCE_CLASSES, Case
from poc.tests.helpers.architectures.table import ARCHITECTURES, NAMED_CASES
from poc.tests.helpers.measured.separate_process import measured

SCRIPT = Path(__file__).parents[1] / "helpers" / "libraries" / "reference_models.py"


@pytest.fixture(scope="module")
def workers():
    with Worker("tf") as first, Worker("torch") as second:
        yield first, second


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the libraries compute; each framework in a process of its own, at the first use."""
    known: dict[str, dict[str, np.ndarray]] = {}

    def find(reference):
        build = reference.build
        if build not in known:
            folder = tmp_path_factory.mktemp(build)
            sides = ",".join(str(side) for side in reference.sides)
            command = [sys.executable, str(SCRIPT), reference.framework, str(folder)]
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
            subprocess.run([*command, f"{build}:{sides}"], check=True, env=environment)
            # One build at a time: the arrays of the largest take 4 GiB, here and on the disk.
            known.clear()
            with np.load(folder / f"{build}.npz") as file:
                known[build] = dict(file)
            shutil.rmtree(folder)
        return known[build]

    return find


REFERENCE_CASES = [
    pytest.param(
        row,
        reference,
        side,
        id=f"{name}, {reference.scheme}'s {reference.build}, {side}",
        marks=[pytest.mark.slow] if reference.is_slow else [],
    )
    for name, row in ARCHITECTURES.items()
    for reference in row.references
    for side in reference.sides
]


@pytest.mark.parity
@pytest.mark.parametrize(("row", "reference", "side"), REFERENCE_CASES)
def test_same_function_as_the_library(row, reference, side, workers, outputs):
    expected = outputs(reference)
    case = row.reference_case(reference, side)
    network = declare_network(case.run())
    scheme = next(item for item in find_schemes(row.model) if item.name == reference.scheme)
    weights = to_canonical(network, scheme, part(expected, "weights:"))
    gradients = to_canonical(
        network,
        scheme,
        {**part(expected, "weights:"), **part(expected, f"{side}/gradients:")},
    )
    batch = {"images": expected[f"{side}/images"], "labels": expected[f"{side}/labels"]}
    for worker in workers:
        run = case.run(worker.backend, precision="float64").model_dump(mode="json")
        logits = worker.call(Operations.logits, run=run, weights=weights, images=batch["images"])
        assert logits.shape == (len(batch["labels"]), NUM_REFERENCE_CLASSES)
        assert relative_error(logits, expected[f"{side}/logits"]) < reference.forward
        result = worker.call(Operations.loss_and_gradients, run=run, weights=weights, batch=batch)
        assert result["loss"] == pytest.approx(
            float(expected[f"{side}/loss"]), rel=reference.forward
        )
        assert result["gradients"].keys() == {
            parameter.name for parameter in network.parameters if parameter.is_trainable
        }
        for name, value in result["gradients"].items():
            if name in network.cancelled_biases:
                # Exactly zero here, rounding noise there (docs/decisions/0003).
                assert not value.any()
                assert np.abs(gradients[name]).max() < 1e-12
            else:
                assert relative_error(value, gradients[name]) < reference.backward, name


def part(arrays, prefix):
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


@pytest.mark.torch
def test_timm_reads_the_names_of_the_paper_of_convnext():
    assert measured("../libraries/convnext_names_torch.py") == {"missing": [], "unequal": []}


def test_every_scheme_belongs_to_a_model():
    assert SCHEMES.keys() <= MODELS.keys()


@pytest.mark.parametrize("name", NAMED_CASES)
def test_names_are_unique_in_every_scheme(name):
    case = NAMED_CASES[name]
    network = declare_network(case.run())
    for scheme in find_schemes(case.model):
        if scheme.layout == "keras" and case.options.get("lineage") == "torchvision":
            continue
        if not scheme.can_name(network):
            # torchvision and transformers have no ViT with registers.
            assert case.options.get("registers")
            continue
        names = list(scheme.tensors(network).values())
        assert len(set(names)) == len(names) == len(network.parameters)


@pytest.mark.parametrize(
    ("case", "named"),
    [
        (Case(model="vgg16", input_shape=(16, 16, 3)), "the layer stage5/pool of vgg16"),
        (Case(model="vgg16", options={"head": "none"}), "model.head='none'"),
        (Case(model="efficientnet_b0", options={"lineage": "timm"}), "model.lineage='timm'"),
        (Case(model="mobilenet_v2", options={"width": 0}), "model.width=0"),
        (Case(model="resnet32_cifar", options={"alphas": 1}), "'model.alphas'"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(case, named):
    with pytest.raises(UsageError, match=r"^Got ") as error:
        _ = declare_network(case.run())
    assert named in str(error.value)
