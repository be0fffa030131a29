"""`poc weights factorize`: from a trained run to a config from which both backends go on."""

import json

import numpy as np
import pytest

from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.operations import Operations
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks
from poc.tests.cli.test_cli import TINY

CONV = ["--set", "model=lightnet_residual", "--set", "layer=conv2d"]


@pytest.fixture
def run(poc, tmp_path):
    options = ["--backend", "torch", *TINY, *CONV]
    code, _, errors = poc("run", *options, "--output", tmp_path / "run")
    assert code == 0, errors
    return tmp_path / "run"


@pytest.mark.slow
def test_full_rank_keeps_the_logits_and_both_backends_go_on(run, poc, workers, tmp_path):
    code, output, errors = poc(
        "weights", "factorize", run, "--rank", 99, "--output", tmp_path / "full", "--json"
    )
    assert code == 0, errors
    result = json.loads(output)
    assert result["accuracy_before"] == result["accuracy_after"]
    given = {"input_shape": (28, 28, 1), "num_classes": 10}
    factored = load_run(tmp_path / "full" / "run.toml", **given)
    whole = load_run(None, ["model=lightnet_residual", "layer=conv2d", TINY[3]], **given)
    weights = starting_weights(resolve_networks(factored))
    trained = read_arrays(run / "checkpoints" / "best.safetensors")
    images = np.random.default_rng(0).normal(size=(4, 28, 28, 1)).astype(np.float32)
    logits = [
        worker.call(
            Operations.logits, run=spec.model_dump(mode="json"), weights=values, images=images
        )
        for worker in workers
        for spec, values in ((factored, weights), (whole, trained))
    ]
    for found in logits[1:]:
        assert np.abs(found - logits[0]).max() < 1e-5 * np.abs(logits[0]).max()


@pytest.mark.slow
def test_a_budget_then_fine_tuning_in_both_backends(run, poc, tmp_path):
    code, output, errors = poc(
        "weights", "factorize", run, "--budget-macs", 0.7, "--output", tmp_path / "less", "--json"
    )
    assert code == 0, errors
    result = json.loads(output)
    assert result["macs_after"] <= 0.7 * result["macs_before"]
    for backend in ("tf", "torch"):
        target = tmp_path / backend
        config = tmp_path / "less" / "run.toml"
        code, output, errors = poc(
            "run", "--backend", backend, "--config", config, "--epochs", 1, "--output", target,
            "--json",
        )  # fmt: skip
        assert code == 0, errors
        assert json.loads(output)["macs"] == result["macs_after"]


REFUSED = {
    "no budget": ([], "Got 0 of --rank"),
    "two budgets": (["--rank", "1", "--budget-macs", "0.5"], "Got 2 of --rank"),
    "variant": (["--rank", "1", "--variant", "cp"], "Expected one of basis, spatial"),
    "tiny budget": (["--budget-macs", "0.001"], "Try a larger budget"),
}


@pytest.mark.slow
@pytest.mark.torch
def test_wrong_use_is_one_sentence(run, poc, tmp_path):
    for options, message in REFUSED.values():
        code, _, errors = poc("weights", "factorize", run, *options, "--output", tmp_path / "o")
        assert code == 2
        assert message in errors
        assert not (tmp_path / "o").exists()
