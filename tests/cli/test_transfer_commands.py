"""The commands' side of a source: one sentence and exit code 2, and the list of taps."""

import json
import subprocess
import sys

import pytest


def poc(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "poc.cli", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "kd"], ["without a teacher", "--teacher"]),
        (["--method", "kd", "--teacher", "nowhere"], ["'nowhere'", "neither"]),
        (["--method", "scratch", "--teacher", "nowhere"], ["labels alone", "kd"]),
        (
            ["--method", "kd", "--model", "lightnet_plain", "--student", "conv2d_chain"],
            ["two names"],
        ),
    ],
)
def test_a_run_without_a_fitting_source_is_wrong_use(arguments, words, tmp_path):
    result = poc("run", "--backend", "torch", "--output", str(tmp_path / "run"), *arguments)
    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert [word for word in words if word not in result.stderr] == []
    assert not (tmp_path / "run").exists()


def test_the_summary_lists_taps_with_shapes():
    arguments = ("models", "summary", "lightnet_plain", "--taps", "--input", "28x28x1")
    result = poc(*arguments, "--json")
    taps = {tap["name"]: tap["shape"] for tap in json.loads(result.stdout)["taps"]}
    assert taps == {"block1": [28, 28, 8], "block2": [14, 14, 16], "block3": [7, 7, 32]}
    assert "block2" in poc(*arguments).stdout
