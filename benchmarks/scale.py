"""Figures of one machine for the model of many, a check of the model here, and the page's tables.

    python benchmarks/scale.py --output scale.json --write docs/scale.md
    python benchmarks/scale.py --output trial.json --networks light --small

The first command takes up to an hour and needs a machine without other programs.

Measured in each framework, each in a process with one thread: steps of three networks by batch,
sums over two ranks by size, the messages of the meeting of the ranks, and the time to decode a
photo. The check trains each network with `poc run` in one process and in two, on images that need
no decoding, and compares the second epoch with the model. `scale_model.py` has the formulas. A
second call measures only what is not in the file; `--write` replaces the part of a page between
its two markers.
"""

import argparse
import io
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from poc.benchmarks.scale_page import MARKERS, fill, write_tables
from poc.shared.engine.backend import load
from poc.shared.engine.machine.environment import describe_machine
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.ranks.meeting import Line
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.ports import local_addresses
from poc.shared.engine.teacher import starting_weights
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import BACKENDS, RunSpec

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"
)
# Settings, side of the images, batch sizes to time, and the global batch of the check.
NETWORKS: Mapping[str, dict[str, Any]] = {
    "light": {
        "title": "lightnet_residual, k = 3",
        "model": {"name": "lightnet_residual", "options": {"k": 3}},
        "side": 32,
        "batches": (1, 4, 16, 64),
        "checked": 64,
    },
    "mobilenet": {
        "title": "mobilenet_v2",
        "model": {"name": "mobilenet_v2"},
        "side": 224,
        "batches": (1, 2, 4, 8),
        "checked": 8,
    },
    "resnet": {
        "title": "resnet50",
        "model": {"name": "resnet50"},
        "side": 224,
        "batches": (1, 2, 4, 8),
        "checked": 8,
    },
}
NUM_CLASSES, NUM_ROUNDS, NUM_SUMS = 100, 7, 30
SUM_BYTES = (64, 4096, 262144, 4194304, 16777216)
MESSAGE_VALUES = (1, 16, 128, 1024)
PHOTO_SIZE, NUM_PHOTOS = (500, 375), 60
NUM_CHECKED_BATCHES = 8


def main() -> int:
    """Measure what is missing, and write the file and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="file of all figures")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--small", action="store_true", help="few repeats: a trial of the script")
    parser.add_argument("--one", nargs=2, metavar=("WORK", "BACKEND"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        work, backend = given.one
        print(json.dumps(WORK[work.split(":")[0]](backend, work, given.small)))
        return 0
    found = json.loads(given.output.read_text()) if given.output.exists() else {}
    for name, measure in plan(given).items():
        if name in found:
            continue
        # As the file has it: keys are texts.
        found[name] = json.loads(json.dumps(measure()))
        # Load from other programs makes times too long: the page shows it.
        found[name]["load"] = os.getloadavg()[0]
        found["machine"] = describe_machine()
        given.output.write_text(json.dumps(found, indent=1))
        print(f"{name}: {found[name]}", flush=True)
    if given.write:
        titles = {name: str(NETWORKS[name]["title"]) for name in given.networks}
        given.write.write_text(fill(given.write.read_text(), write_tables(found, titles)))
        print(f"{given.write}: tables between {' and '.join(MARKERS)}")
    return 0


def plan(given: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return name -> measurement, the cheap ones first."""
    small = given.small
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "decoding": partial(measure_decoding, small),
        "meeting": partial(measure_messages, small),
    }
    for backend in given.backends:
        work[f"sums {backend}"] = partial(measure_sums, backend, small)
    for name in given.networks:
        for backend in given.backends:
            work[f"steps {name} {backend}"] = partial(start, f"steps:{name}", backend, small)
    for name in given.networks:
        for backend in given.backends:
            work[f"check {name} {backend}"] = partial(check, name, backend, small)
    return work


def start(work: str, backend: str, is_small: bool) -> dict[str, Any]:
    """Run a measurement in a process with one thread, and return what it prints last."""
    return wait(launch(work, backend, is_small, {}))


def launch(
    work: str, backend: str, is_small: bool, variables: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a measurement in a process of its own."""
    command = [sys.executable, __file__, "--output", ".", "--one", work, backend]
    return subprocess.Popen(
        [*command, *(["--small"] if is_small else [])],
        env={**os.environ, **ONE_THREAD, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a measurement prints last.

    Raises:
        RuntimeError: It failed; its own message is above.
    """
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"Got exit code {process.returncode} of {process.args!r}. Expected 0.")
    return dict(json.loads(printed.splitlines()[-1]))


def declare(name: str, backend: str) -> ResolvedRun:
    """Return the run of a network whose steps are timed."""
    side = NETWORKS[name]["side"]
    return resolve_networks(
        RunSpec.parse(
            {
                "method": "lightlayers" if name == "light" else "scratch",
                "backend": backend,
                "device": "cpu",
                "model": NETWORKS[name]["model"],
                "input_shape": [side, side, 3],
                "num_classes": NUM_CLASSES,
            },
            "",
        )
    )


def time_batches(backend_name: str, work: str, is_small: bool) -> dict[str, Any]:
    """Return the median seconds of a step for each batch size, and the sizes of its exchange."""
    name = work.partition(":")[2]
    run, backend = declare(name, backend_name), load(backend_name)
    backend.prepare(run.spec)
    random, side = np.random.default_rng(0), NETWORKS[name]["side"]
    trainer, seconds = backend.Trainer(run, starting_weights(run)), {}
    for size in NETWORKS[name]["batches"][: 2 if is_small else None]:
        images = random.standard_normal((size, side, side, 3)).astype(np.float32)
        labels = random.integers(0, NUM_CLASSES, size)
        samples = []
        for number in range(3 if is_small else NUM_ROUNDS):
            noise = draw_noise(run.trained_network, seed=0, step=number, batch_size=size)
            began = time.perf_counter()
            trainer.step(images, labels, 1e-3, noise)
            trainer.wait()
            samples.append(time.perf_counter() - began)
        # The first steps build, trace, and fill caches.
        seconds[size] = statistics.median(samples[2:])
    parameters = run.trained_network.parameters
    return {
        "step_seconds": seconds,
        "gradient_bytes": 4 * sum(p.size for p in parameters if p.is_trainable),
        "norm_channels": [p.size for p in parameters if p.name.endswith("/moving_mean")],
    }


def measure_sums(backend: str, is_small: bool) -> dict[str, Any]:
    """Return the median seconds of a sum over two ranks of this machine, for each size."""
    *addresses, meeting = local_addresses(3)
    token = secrets.token_hex(8)
    places = [
        Place(index=i, count=2, addresses=tuple(addresses), meeting=meeting, token=token)
        for i in range(2)
    ]
    processes = [launch("sums", backend, is_small, place.to_environment()) for place in places]
    first, _ = map(wait, processes)
    return first


def time_sums(backend_name: str, work: str, is_small: bool) -> dict[str, Any]:
    """Take part in sums as one of two ranks."""
    run, backend = declare("light", backend_name), load(backend_name)
    backend.prepare(run.spec)
    backend.join(run.spec, Place.of_environment())
    collectives = __import__(
        f"poc.{backend_name}_impl.ranks.collectives", fromlist=["sum_over_ranks"]
    )
    make = {"tf": make_tf_values, "torch": make_torch_values}[backend_name]
    seconds = {}
    for size in SUM_BYTES[: 2 if is_small else None]:
        values, samples = make(size // 4), []
        for _ in range(5 if is_small else NUM_SUMS):
            began = time.perf_counter()
            float(collectives.sum_over_ranks(values)[0])
            samples.append(time.perf_counter() - began)
        seconds[size] = statistics.median(samples[2:])
    return {"sum_seconds": seconds}


def make_tf_values(count: int) -> Any:
    """Return ones (count,) in TensorFlow."""
    import tensorflow as tf

    return tf.ones(count)


def make_torch_values(count: int) -> Any:
    """Return ones (count,) in PyTorch."""
    import torch

    return torch.ones(count)


def measure_messages(is_small: bool) -> dict[str, Any]:
    """Return the median seconds to send a message of n values, and those to read it."""
    ends = socket.socketpair(socket.AF_UNIX)
    first, second = (Line.over(index, end) for index, end in enumerate(ends))
    told: dict[int, float] = {}
    heard: dict[int, float] = {}
    for count in MESSAGE_VALUES:
        value = {"values": [{"is_due": False, "signal": 0}] * count}
        samples = []
        for _ in range(20 if is_small else 300):
            began = time.perf_counter()
            first.tell(value)
            middle = time.perf_counter()
            second.hear()
            samples.append((middle - began, time.perf_counter() - middle))
        told[count], heard[count] = map(statistics.median, zip(*samples, strict=True))
    for line in (first, second):
        line.close()
    return {"tell_seconds": told, "hear_seconds": heard}


def measure_decoding(is_small: bool) -> dict[str, Any]:
    """Return the seconds to decode and resize a photo with Pillow in one thread, and its bytes."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize(PHOTO_SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    samples = []
    for _ in range(5 if is_small else NUM_PHOTOS):
        began = time.perf_counter()
        photo = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
        np.asarray(photo.resize((256, 256), Image.Resampling.BILINEAR))
        samples.append(time.perf_counter() - began)
    return {"image_seconds": statistics.median(samples), "image_bytes": len(file.getvalue())}


def check(name: str, backend: str, is_small: bool) -> dict[str, Any]:
    """Train two epochs in one process and in two, each with one thread; time the second epoch."""
    batch_size, side = NETWORKS[name]["checked"], NETWORKS[name]["side"]
    found: dict[str, Any] = {"batch_size": batch_size, "step_seconds": {}}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npz"
        write_images(images, batch_size * (2 if is_small else NUM_CHECKED_BATCHES), side)
        for count in (1, 2):
            output = Path(folder) / f"run_{count}"
            command = [sys.executable, "-m", "poc.cli", "run", *check_words(name, backend)]
            command += ["--data", f"npz:{images}", "--batch-size", str(batch_size), "-q"]
            command += ["--processes", str(count), "--output", str(output)]
            subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD})
            found["step_seconds"][count] = read_step_seconds(output / "metrics.jsonl")
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


def read_step_seconds(path: Path) -> float:
    """Return the seconds of a step in the second epoch of a run."""
    first, second = (json.loads(line) for line in path.read_text().splitlines()[:2])
    return float(second["train_seconds"]) / (second["step"] - first["step"])


WORK = {"steps": time_batches, "sums": time_sums}

if __name__ == "__main__":
    sys.exit(main())
