"""LoRA from a body to files: a run in each backend on embedded images, exports, a plain file."""

import json

import numpy as np
import pytest

from poc.shared.files.arrays import read_arrays

SMALL = [
    *("--model", "vit_ti16"),
    *("--set", "model.depth=2"),
    *("--set", "model.width=24"),
    *("--set", "model.heads=3"),
    *("--set", "model.patch_size=7"),
    *("--set", "data.split.train_per_class=8"),
    *("--set", "schedule.name=constant"),
    *("--batch-size", "16"),
    *("--epochs", "3"),
]
LORA = [
    *("--method", "transfer"),
    *("--set", "lora.rank=2"),
    *("--set", 'lora.targets=["attention", "dense"]'),
]


def succeed(poc, *arguments):
    code, output, errors = poc(*arguments)
    assert code == 0, errors
    return output


@pytest.mark.slow
@pytest.mark.parity
def test_a_run_with_terms_becomes_a_plain_network(poc, tmp_path):
    body = tmp_path / "body"
    succeed(poc, "run", "--backend", "torch", "--method", "scratch", *SMALL, "--output", body)
    start = ["--weights", body / "checkpoints" / "best.safetensors"]
    answers = {}
    for backend, file_format in (("tf", "tflite"), ("torch", "onnx")):
        folder = tmp_path / backend
        options = ["--backend", backend, *SMALL, *LORA, *start, "--output", folder]
        succeed(poc, "run", *options)
        row = json.loads((folder / "summary.json").read_text())
        # Two blocks: attention 4 (24 + 24), dense (24 + 96) twice, times the rank; and the head.
        assert row["lora_parameters"] == 2 * 2 * (4 * 48 + 2 * 120)
        assert row["trainable_parameters"] == row["lora_parameters"] + 24 * 10 + 10
        assert row["trained_share"] == row["trainable_parameters"] / row["total_parameters"]
        assert row["peak_memory_bytes"] > 0
        exported = json.loads(succeed(poc, "export", folder, "--format", file_format, "--json"))
        assert exported["num_changed"] == 0
        assert exported["exported_parameters"] == row["total_parameters"] - row["lora_parameters"]
        answers[backend] = np.load(folder / "predictions.npz")["logits"]
    assert np.abs(answers["tf"] - answers["torch"]).max() < 1e-3
    assert (answers["tf"].argmax(axis=1) == answers["torch"].argmax(axis=1)).all()

    plain = tmp_path / "plain.safetensors"
    succeed(poc, "weights", "convert", tmp_path / "torch", plain)
    frozen, merged = read_arrays(body / "checkpoints" / "best.safetensors"), read_arrays(plain)
    assert frozen.keys() == merged.keys()
    moved = {name for name in merged if not np.array_equal(merged[name], frozen[name])}
    kernels = {n for n in merged if n.endswith("/kernel") and n.startswith("block")}
    assert moved == kernels | {"head/kernel", "head/bias"}

    last = tmp_path / "torch" / "checkpoints" / "best.safetensors"
    code, _, errors = poc("run", "--backend", "torch", *SMALL, *LORA, "--weights", last)
    assert code == 2
    assert "poc weights convert" in errors
