"""The check of `scale.py`: a run of each network in one process and in two, by the command."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from poc.benchmarks.scale_figures import NETWORKS, NUM_CLASSES
from poc.shared.engine.folder.run_folder import RunFolder

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)
# With small batches there are more: the training part needs an image of each class.
NUM_CHECKED_BATCHES = 8


def check(name: str, backend: str, is_small: bool) -> dict[str, Any]:
    """Train two epochs in one process and in two, each with one thread; time the second epoch."""
    batch_size, side = NETWORKS[name]["checked"], NETWORKS[name]["side"]
    found: dict[str, Any] = {"batch_size": batch_size, "step_seconds": {}}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npz"
        num_batches = 2 if is_small else NUM_CHECKED_BATCHES
        write_images(images, batch_size * max(num_batches, -(-NUM_CLASSES // batch_size)), side)
        for count in (1, 2):
            output = Path(folder) / f"run_{count}"
            command = [sys.executable, "-m", "poc.cli", "run", *check_words(name, backend)]
            command += ["--data", f"npz:{images}", "--batch-size", str(batch_size), "-q"]
            command += ["--processes", str(count), "--output", str(output)]
            variables = {**os.environ, **ONE_THREAD}
            subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, check=True)
            found["step_seconds"][count] = read_step_seconds(output)
    return found


def check_words(name: str, backend: str) -> list[str]:
    """Return the options of the run of a check, but for its data and its processes."""
    model = NETWORKS[name]["model"]
    words = ["--backend", backend, "--model", model["name"], "--epochs", "2"]
    words += ["--set", "device=cpu", "--set", "data.drop_last=true"]
    words += ["--set", "optimizer.name=adam", "--set", "optimizer.learning_rate=0.001"]
    if name == "light":
        return [*words, "--method", "lightlayers", "--k", str(model["options"]["k"])]
    return [*words, "--method", "scratch"]


def write_images(path: Path, count: int, side: int) -> None:
    """Write random images of many classes, with a few to validate and to test."""
    random = np.random.default_rng(0)
    parts = {"train": count, "val": NUM_CLASSES, "test": NUM_CLASSES}
    arrays: dict[str, Any] = {}
    for part, size in parts.items():
        shape = (size, side, side, 3)
        arrays[f"{part}_images"] = random.integers(0, 256, shape, dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(size) % NUM_CLASSES
    np.savez(path, **arrays)


def read_step_seconds(output: Path) -> float:
    """Return the seconds of a step in the second epoch of a run."""
    first, second = RunFolder(output).read_metrics()
    return float(second["train_seconds"]) / (second["step"] - first["step"])
