"""Figures of one process for `scale.py`: steps, sums, messages, photos; each a function."""

import io
import socket
import statistics
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from poc.shared.engine.backend import load
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.ranks.meeting import Line
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.ports import LOCAL_HOST
from poc.shared.engine.teacher import starting_weights
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

# Side of the images, batch sizes to time, and the global batch of the check.
PHOTOS = {"side": 224, "batches": (1, 2, 4, 8), "checked": 8}
NETWORKS: Mapping[str, dict[str, Any]] = {
    "light": {
        "title": "lightnet_residual, k = 3",
        "model": {"name": "lightnet_residual", "options": {"k": 3}},
        "side": 32,
        "batches": (1, 4, 16, 64),
        "checked": 64,
    },
    "mobilenet": {"title": "mobilenet_v2", "model": {"name": "mobilenet_v2"}, **PHOTOS},
    "resnet": {"title": "resnet50", "model": {"name": "resnet50"}, **PHOTOS},
}
NUM_CLASSES, NUM_ROUNDS, NUM_SUMS = 100, 7, 30
SUM_BYTES = (64, 4096, 262144, 4194304, 16777216)
PHOTO_SIZE, NUM_PHOTOS = (500, 375), 60


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


def time_sums(backend_name: str, work: str, is_small: bool) -> dict[str, Any]:
    """Take part in sums as one of two ranks."""
    run, backend = declare("light", backend_name), load(backend_name)
    backend.prepare(run.spec)
    backend.join(run.spec, Place.of_environment())
    collectives = import_module(f"poc.{backend_name}_impl.ranks.collectives")
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
    """Return the median seconds to send a decision about a step, and those to read it."""
    # As the ranks meet: over TCP.
    with socket.create_server((LOCAL_HOST, 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    first, second = Line.over(0, near), Line.over(1, far)
    samples = []
    for _ in range(20 if is_small else 300):
        began = time.perf_counter()
        first.tell({"is_due": False, "signal": None})
        middle = time.perf_counter()
        second.hear()
        samples.append((middle - began, time.perf_counter() - middle))
    told, heard = map(statistics.median, zip(*samples, strict=True))
    for line in (first, second):
        line.close()
    return {"tell_seconds": told, "hear_seconds": heard}


def measure_decoding(is_small: bool) -> dict[str, Any]:
    """Return the seconds to decode and resize a photo with Pillow in one thread."""
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
    return {"image_seconds": statistics.median(samples)}
