"""This project's nets against torchvision's and keras.applications' under equal random weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from poc.tests.helpers.libraries.published_cases import KERAS, TORCHVISION

FOLDER = Path(__file__).parents[1] / "helpers" / "libraries"
# Both sides compute in float64; what is asked for is 1e-4.
TOLERANCE = 1e-8
ROWS = [
    *(pytest.param("torch", case, marks=[pytest.mark.torch]) for case in TORCHVISION),
    *(pytest.param("tf", case, marks=[pytest.mark.tf]) for case in KERAS),
]


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "case"), ROWS)
def test_outputs_equal_the_published_net(backend, case):
    script = FOLDER / f"published_{backend}.py"
    process = subprocess.run(
        [sys.executable, str(script), case], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-2000:]
    found = json.loads(process.stdout.splitlines()[-1])
    for mode in ("evaluation", "training"):
        assert found[mode] < TOLERANCE, found
        assert found[f"{mode} size"] > 1e-3, found
    if backend == "torch":
        assert found["statistics"] < TOLERANCE, found
