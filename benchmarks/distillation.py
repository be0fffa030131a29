"""Cost of a distillation step, compared with the student's own step and the teacher's forward pass.

    python benchmarks/distillation.py --backend tf
    python benchmarks/distillation.py --backend torch

Four trainers in one process take turns on the same batch: the student alone, the student with
knowledge distillation, the same with kept teacher outputs, and the teacher's forward pass. The exit
code is 1 if a distillation step costs more than the promised share above the sum of its parts.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.teacher import starting_weights, step_coefficients
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec

PROMISED_RATIO = 1.05
STUDENT = {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [16, 32, 64]}}
TEACHER = {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [32, 64, 128]}}


def main() -> int:
    """Print milliseconds per step and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--method", default="kd", help="kd, fitnets or attention_transfer")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    sides = make_sides(arguments.backend, arguments.method, arguments.batch_size)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for step in sides.values():
        for _ in range(3):
            step()
    for _ in range(arguments.rounds):
        for name, step in sides.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    return report(arguments, seconds)


def make_sides(backend: str, method: str, batch_size: int) -> dict[str, Callable[[], None]]:
    """Return a step per side; it returns when the device is done."""
    shared = {
        "backend": backend,
        "model": STUDENT,
        "input_shape": [28, 28, 1],
        "num_classes": 10,
        "optimizer": {"name": "sgd", "momentum": 0.9},
    }
    one_stage = {"method_options": {"stages": "one"}} if method == "fitnets" else {}
    student = RunSpec.parse({**shared, "method": "scratch"}, "")
    taught = RunSpec.parse(
        {**shared, "method": method, "teacher": {"model": TEACHER}, **one_stage}, ""
    )
    module = load(backend)
    module.prepare(student)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch_size, 28, 28, 1)).astype(np.float32)
    labels = generator.integers(0, 10, batch_size)
    trainers = {
        name: module.Trainer(resolve_networks(run), starting_weights(resolve_networks(run)))
        for name, run in (("student", student), ("distilled", taught), ("kept", taught))
    }
    numbers = step_coefficients(resolve_networks(taught), 0.0, labels)
    kept = {**numbers, **trainers["kept"].teacher_outputs(images)}
    noise = draw_noise(declare_network(student), seed=0, step=0, batch_size=batch_size)

    def stepper(name: str, extras: dict[str, np.ndarray]) -> Callable[[], None]:
        def step() -> None:
            trainers[name].step(images, labels, 1e-3, noise, extras)
            trainers[name].wait()

        return step

    def teacher() -> None:
        trainers["distilled"].teacher_outputs(images)

    return {
        "student": stepper("student", {}),
        "teacher": teacher,
        "distilled": stepper("distilled", numbers),
        "kept": stepper("kept", kept),
    }


def report(arguments: argparse.Namespace, seconds: dict[str, list[float]]) -> int:
    """Print medians, and ratios within each round; return 1 if the promise is broken."""
    live = [
        d / (s + t)
        for d, s, t in zip(
            seconds["distilled"], seconds["student"], seconds["teacher"], strict=True
        )
    ]
    kept = [k / s for k, s in zip(seconds["kept"], seconds["student"], strict=True)]
    for name, values in seconds.items():
        print(f"{arguments.backend} {name:10s} {1000 * statistics.median(values):8.2f} ms")
    ratios = statistics.median(live), statistics.median(kept)
    print(
        f"{arguments.backend} {arguments.method}: step / (student step + teacher forward) "
        f"{ratios[0]:.3f}; with kept outputs / student step {ratios[1]:.3f}; median of "
        f"{arguments.rounds} rounds, promised {PROMISED_RATIO}"
    )
    return int(max(ratios) > PROMISED_RATIO)


if __name__ == "__main__":
    sys.exit(main())
