"""The Python API with the frameworks themselves: a run trained in one, opened and asked in both."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import poc
from poc.shared.engine.numerics.metrics import log_softmax

SCRIPT = Path(__file__).parents[1] / "helpers" / "api" / "native_models.py"
pytestmark = [pytest.mark.tf, pytest.mark.torch]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run in PyTorch on photos of two classes: (result, files of its test part)."""
    root = tmp_path_factory.mktemp("api")
    draw = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(24):
            pixels = draw.integers(80 * label, 80 * label + 120, (20 + number, 24, 3))
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(root / "photos" / name / f"{number}.png")
    result = poc.run(
        backend="torch",
        method="scratch",
        model="lightnet_residual",
        data=f"folder:{root / 'photos'}",
        epochs=2,
        settings={"image_size": [16, 16], "model.widths": [4, 8], "data.normalization": "tf"},
        output=root / "run",
    )
    return result, [root / "photos" / name for name in result.predictions["id"]]


@pytest.fixture(scope="module")
def found(trained):
    """What a process of each framework finds."""
    result, files = trained

    def ask(backend):
        command = [sys.executable, str(SCRIPT), backend, str(result.folder), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return {backend: ask(backend) for backend in ("tf", "torch")}


PREDICT = """
import json, sys
import poc
table = poc.predict(sys.argv[1], sys.argv[2:])
assert not {"tensorflow", "keras", "torch"} & sys.modules.keys()
print(json.dumps(table.to_dict("list")))
"""


def test_predictions_are_those_that_the_run_recorded(trained):
    """And the process that asks for them has no framework."""
    result, files = trained
    command = [sys.executable, "-c", PREDICT, str(result.folder), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    table = json.loads(done.stdout)
    assert table["label"] == result.predictions["label"].tolist()
    for name in ("cat", "dog"):
        assert np.abs(np.array(table[name]) - result.predictions[name]).max() < 1e-6


@pytest.mark.parametrize("backend", ["tf", "torch"])
def test_a_native_model_gives_the_answers_of_its_run(backend, found, trained):
    shares = np.exp(log_softmax(np.array(found[backend]["logits"])))
    expected = trained[0].predictions[["cat", "dog"]].to_numpy()
    assert np.isfinite(shares).all()
    # Shares, of logits that agree to 1e-5 in float32.
    assert np.abs(shares - expected).max() < 1e-5


def test_both_frameworks_start_from_the_same_values(found):
    tf, torch = (np.array(found[backend]["start"]) for backend in ("tf", "torch"))
    assert np.isfinite(tf).all()
    assert np.abs(tf - torch).max() < 1e-5 * np.abs(tf).max()


def test_each_process_has_one_framework_and_an_idle_model(found):
    assert [found[name]["has_other"] for name in found] == [False, False]
    assert [found[name]["is_training"] for name in found] == [False, False]
    assert "block1.conv1" in found["tf"]["layers"]
    assert "block1.conv1" in found["torch"]["layers"]
