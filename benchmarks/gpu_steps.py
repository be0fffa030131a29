"""Parts of `gpu.py` that time steps of ResNet-50 against a loop that a user would write."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from poc.benchmarks.gpu_machine import SMALL_NET, Machine, Row, fields, set_tf32
from poc.benchmarks.gpu_stock import STOCK
from poc.shared.engine.backend import Backend, load
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.teacher import starting_weights
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

# The networks of torchvision and of keras.applications.
LINEAGES = {"tf": "keras", "torch": "torchvision"}
STEPS_A_ROUND = 5


def time_steps(
    machine: Machine, precision: str, *, has_tf32: bool = False, mode: str = "default"
) -> list[Row]:
    """Time steps of ResNet-50: this project's, and those of a loop that a user would write.

    Each side gets a batch in the host's memory. Rounds of five steps take turns; the device is
    drained at the end of each.
    """
    side, batch_size, num_rounds = machine.timed
    run = declare(machine, side, batch_size, {"precision": precision, "mode": mode})
    backend = load(machine.backend)
    backend.prepare(run.spec)
    set_tf32(machine.backend, has_tf32)
    random = np.random.default_rng(0)
    images = random.standard_normal((batch_size, side, side, 3)).astype(np.float32)
    labels = random.integers(0, 1000, batch_size)
    makers: dict[str, Callable[[], Callable[[], None]]] = {
        "this project": lambda: own_round(backend, run, images, labels),
        "stock loop": lambda: STOCK[machine.backend](run.spec, images, labels, STEPS_A_ROUND),
    }
    rounds, rows = {}, {}
    for name, make in makers.items():
        before = reset_peak(machine)
        began = time.perf_counter()
        rounds[name] = make()
        rounds[name]()
        rows[name] = {
            "side": name,
            "start and first steps, s": f"{time.perf_counter() - began:.1f}",
        }
        rounds[name]()
        peak = read_peak(machine)
        rows[name]["peak memory, MiB"] = f"{(peak - before) / 2**20:.0f}" if peak else "-"
    seconds = time_in_turn(rounds, num_rounds)
    return [{**rows[name], **summarize(values, batch_size)} for name, values in seconds.items()] + [
        compare_sides(seconds)
    ]


def declare(machine: Machine, side: int, batch_size: int, changes: dict[str, str]) -> ResolvedRun:
    """Return a run of ResNet-50 in the form of the framework's own library."""
    options = {"lineage": LINEAGES[machine.backend]}
    return resolve_networks(
        RunSpec.parse(
            {
                **fields(machine),
                "method": "scratch",
                "model": {"name": "resnet50", "options": options},
                "input_shape": [side, side, 3],
                "num_classes": 1000,
                "deterministic": False,
                "optimizer": {"name": "sgd", "learning_rate": 0.01},
                "data": {"batch_size": batch_size},
                **changes,
            },
            "",
        )
    )


def own_round(backend: Backend, run: ResolvedRun, images: Any, labels: Any) -> Callable[[], None]:
    """Return a round of this project's steps on images (N, H, W, C) and labels (N,)."""
    trainer = backend.Trainer(run, starting_weights(run))
    network, rate = run.trained_network, run.spec.optimizer.learning_rate

    def take() -> None:
        for step in range(STEPS_A_ROUND):
            noise = draw_noise(network, seed=0, step=step, batch_size=len(labels))
            trainer.step(images, labels, rate, noise)
        trainer.metrics()
        trainer.wait()

    return take


def time_in_turn(
    rounds: Mapping[str, Callable[[], None]], num_rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of a step in each round; every second round goes the other way."""
    seconds: dict[str, list[float]] = {name: [] for name in rounds}
    for number in range(num_rounds):
        for name in list(rounds)[:: 1 if number % 2 == 0 else -1]:
            began = time.perf_counter()
            rounds[name]()
            seconds[name].append((time.perf_counter() - began) / STEPS_A_ROUND)
    return seconds


def summarize(seconds: list[float], batch_size: int) -> Row:
    """Return the median step and its quartiles, and images per second."""
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "step, ms": f"{1000 * median:.2f}",
        "quartiles, ms": f"{1000 * low:.2f} to {1000 * high:.2f}",
        "images/s": f"{batch_size / median:,.0f}",
    }


def compare_sides(seconds: Mapping[str, list[float]]) -> Row:
    """Return the median of the rounds' ratios: the first side's seconds over the second's."""
    first, second = seconds.values()
    ratio = statistics.median(a / b for a, b in zip(first, second, strict=True))
    return {"side": f"ratio of seconds, {' over '.join(seconds)}", "step, ms": f"{ratio:.3f}"}


def reset_peak(machine: Machine) -> int:
    """Forget the largest memory of the GPU so far, and return the current one."""
    if machine.device == "cpu":
        return 0
    if machine.backend == "torch":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("GPU:0")
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"])


def read_peak(machine: Machine) -> int:
    """Return the largest memory of the GPU since the last reset; 0 on a CPU."""
    run = RunSpec.parse({**SMALL_NET, **fields(machine)}, "")
    return load(machine.backend).peak_device_bytes(run) or 0
