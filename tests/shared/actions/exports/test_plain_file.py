"""A run's network as a file for prepared images: of each framework, also of a fitted head."""

import numpy as np
import pytest

from poc.shared.actions.exports import plain_file, written_file
from poc.shared.actions.exports.plain_file import write_plain_file
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import CheckFailed
from poc.tests.cli.test_cli import TINY

NETWORK = (*TINY, "--k", "2", "--set", "model=lightnet_residual")
HEADS = ("knn", "logistic")


def train(poc, folder, backend, *options):
    code, _, errors = poc("run", "--backend", backend, *options, "--output", folder)
    assert code == 0, errors
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "ending"),
    [
        pytest.param("torch", "onnx", marks=pytest.mark.torch),
        pytest.param("tf", "tflite", marks=pytest.mark.tf),
    ],
)
def test_a_network_and_its_fitted_heads_become_files(poc, tmp_path, backend, ending):
    network = train(poc, tmp_path / "run", backend, *NETWORK)
    start = (*TINY[:4], "--k", "2", "--weights", network / "checkpoints" / "best.safetensors")
    heads = [train(poc, tmp_path / name, backend, "--method", name, *start) for name in HEADS]
    for run in (network, *heads):
        found = write_plain_file(run, tmp_path / "files" / run.name, num_images=4)
        assert found.path == tmp_path / "files" / f"{run.name}.{ending}"
        assert found.shown.dtype == np.uint8
        assert found.model.logits(found.shown[:1]).shape[0] == 1
        # The run itself is left as it was.
        assert RunFolder(run).exports.read() == []


@pytest.mark.slow
@pytest.mark.torch
def test_the_check_reads_validation_images(poc, tmp_path, monkeypatch):
    run = train(poc, tmp_path / "run", "torch", *NETWORK)
    parts = []

    def note(trained, *others):
        parts.append((trained.data.test, trained.data.val is None))
        raise CheckFailed("Got another answer. Expected the same. Try nothing.")

    monkeypatch.setattr(written_file, "answer_both", note)
    with pytest.raises(CheckFailed):
        write_plain_file(run, tmp_path / "files" / "run")
    assert parts == [(None, False)]
    assert list((tmp_path / "files").iterdir()) == []


def test_each_framework_has_its_own_format():
    assert plain_file.format_of("torch") == "onnx"
    assert plain_file.format_of("tf") == "tflite"
