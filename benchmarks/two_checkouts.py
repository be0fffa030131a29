"""Ratio of the cost of a training step in two checkouts of this project, such as two commits.

    python benchmarks/two_checkouts.py BEFORE/.venv/bin/python AFTER/.venv/bin/python
    python benchmarks/two_checkouts.py --backend tf --rounds 60 BEFORE/… AFTER/…

Each checkout has a process of its own, with one thread. They take turns (before, after, after,
before), each turn a few steps on the same batch. The script prints, for each network, the median of
the ratios of a round, with the quartiles, in processor seconds and in seconds of the clock, and the
ratio of peak memory. On a busy machine the processor seconds are the ones to read.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import IO, Any, cast

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

# Name -> model, options, input shape, batch size and mode.
NETS: dict[str, tuple[str, dict[str, Any], tuple[int, int, int], int, str]] = {
    "lightnet_residual k=3": ("lightnet_residual", {"k": 3}, (32, 32, 3), 32, "default"),
    "lightnet_residual k=3, compiled": ("lightnet_residual", {"k": 3}, (32, 32, 3), 32, "compiled"),
    "resnet32_cifar": ("resnet32_cifar", {}, (32, 32, 3), 16, "default"),
    "vgg16, width 1/4": ("vgg16", {"width": 0.25}, (64, 64, 3), 8, "default"),
    "small lightnet_plain": ("lightnet_plain", {"k": 2, "widths": [4, 4]}, (8, 8, 1), 8, "default"),
}
WARMUP, ROUNDS, STEPS_A_TURN = 5, 30, 3


def main() -> int:
    """Measure every network, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interpreters", nargs="*", help="Python of each checkout, the older first")
    parser.add_argument("--backend", choices=("tf", "torch"), default="torch")
    parser.add_argument("--net", choices=list(NETS), action="append", help="only this; repeatable")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--serve", choices=list(NETS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve(arguments.backend, arguments.serve)
    if len(arguments.interpreters) != 2:
        parser.error("name two interpreters")
    for name in arguments.net or NETS:
        print(
            line_of(
                name, *compare(name, arguments.backend, arguments.interpreters, arguments.rounds)
            )
        )
    return 0


def compare(
    name: str, backend: str, interpreters: list[str], rounds: int
) -> tuple[list[dict[str, float]], float]:
    """Return each round's ratios after / before, and the ratio of the peak memories."""
    command = [__file__, "--backend", backend, "--serve", name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    before, after = (
        subprocess.Popen(
            [python, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "TF_NUM_INTEROP_THREADS": "1"},
        )
        for python in interpreters
    )
    for process in (before, after):
        ask(process, WARMUP)
    ratios = []
    for _ in range(rounds):
        turns = [ask(process, STEPS_A_TURN) for process in (before, after, after, before)]
        ratios.append(
            {
                clock: (turns[1][clock] + turns[2][clock]) / (turns[0][clock] + turns[3][clock])
                for clock in ("processor", "clock")
            }
        )
    peaks = [ask(process, 0)["peak_bytes"] for process in (before, after)]
    for process in (before, after):
        process.communicate()
    return ratios, peaks[1] / peaks[0]


def ask(process: subprocess.Popen[str], num_steps: int) -> dict[str, float]:
    """Let a process take steps, and return its seconds and its peak memory."""
    answers, questions = cast(IO[str], process.stdout), cast(IO[str], process.stdin)
    questions.write(f"{num_steps}\n")
    questions.flush()
    return json.loads(answers.readline())


def line_of(name: str, ratios: list[dict[str, float]], memory: float) -> str:
    """Return a row of a Markdown table."""
    cells = []
    for clock in ("processor", "clock"):
        low, middle, high = statistics.quantiles([ratio[clock] for ratio in ratios], n=4)
        cells.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
    return f"| {name} | {cells[0]} | {cells[1]} | {memory:.3f} |"


def serve(backend: str, name: str) -> int:
    """Take as many steps as each line of the standard input says, and print what they cost."""
    model, options, shape, batch_size, mode = NETS[name]
    run = RunSpec.parse(
        {
            "method": "scratch",
            "backend": backend,
            "model": {"name": model, "options": options},
            "input_shape": shape,
            "num_classes": 10,
            "mode": mode,
        },
        "",
    )
    module = load(backend)
    module.prepare(run)
    resolved = resolve_networks(run)
    network = resolved.trained_network
    trainer = module.Trainer(resolved, draw_weights(network.parameters, 0))
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch_size, *shape)).astype(np.float32)
    labels = generator.integers(0, 10, batch_size)
    noise = draw_noise(network, seed=0, step=0, batch_size=batch_size)
    for line in sys.stdin:
        started, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            trainer.step(images, labels, 1e-3, noise)
        trainer.wait()
        cost = {
            "clock": time.perf_counter() - started,
            "processor": time.process_time() - processor,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        print(json.dumps(cost), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
