"""Several processes of one run against one process: seconds per epoch, and accuracy.

    python benchmarks/ranks.py time --output FOLDER
    python benchmarks/ranks.py accuracy --output FOLDER

`time` trains with one process of two threads and with two processes of one thread each, in turn and
in changing order, and prints the medians of the epochs after the first one, and their ratio. It
wants two processors that nobody else uses. `accuracy` trains with one and two processes in float32
from three seeds, in both frameworks, and prints a table. Runs that are in the folder already are
not trained again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.spec.run import BACKENDS

SEEDS, ROUNDS, EPOCHS = (0, 1, 2), 5, 4
# The first epoch traces, compiles and fills caches.
WARMUP_EPOCHS = 1
# A small network, whose exchanges weigh, and one that computes more.
CASES: Mapping[str, Sequence[str]] = {
    "lightnet_plain, k=3": ("--method", "lightlayers", "--k", "3"),
    # Its five pools need 32 pixels.
    "vgg9_bn": ("--method", "scratch", "--model", "vgg9_bn", "--set", "data.image_size=32x32"),
}
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def main() -> int:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("time", "accuracy"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--epochs", type=int)
    given = parser.parse_args()
    backends = given.backend or BACKENDS
    if given.what == "time":
        epochs = given.epochs or EPOCHS
        if epochs <= WARMUP_EPOCHS:
            parser.error(f"Got --epochs {epochs}. The first one does not count. Try --epochs 2.")
        print_times(given.output, backends, given.rounds, epochs)
    else:
        print_accuracies(given.output, backends, given.epochs)
    return 0


def print_times(output: Path, backends: Sequence[str], rounds: int, epochs: int) -> None:
    """Print the median seconds of an epoch, of one process and of two, and their ratio."""
    print("| network | framework | 1 process, 2 threads | 2 processes, 1 thread each | ratio |")
    print("|---|---|---|---|---|")
    for case, (name, arguments) in enumerate(CASES.items()):
        for backend in backends:
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for number in range(rounds):
                # Each comes first in every other round, as the machine may warm up or slow down.
                for processes in (1, 2) if number % 2 == 0 else (2, 1):
                    folder = output / f"{backend}-{case}-{number}-{processes}"
                    options = [*arguments, "--epochs", str(epochs)]
                    train(folder, backend, processes, 3 - processes, options)
                    seconds[processes] += epoch_seconds(folder)[WARMUP_EPOCHS:]
            one, two = (statistics.median(seconds[processes]) for processes in (1, 2))
            print(
                f"| {name} | {backend} | {one:.3f} s | {two:.3f} s | {two / one:.2f} |", flush=True
            )


def print_accuracies(output: Path, backends: Sequence[str], epochs: int | None) -> None:
    """Print the test accuracy of one process and of two, by seed."""
    print("| framework | processes |" + "".join(f" seed {seed} |" for seed in SEEDS) + " mean |")
    print("|---|---|" + "---|" * (len(SEEDS) + 1))
    arguments = [*CASES["lightnet_plain, k=3"], *(("--epochs", str(epochs)) if epochs else ())]
    for backend in backends:
        for processes in (1, 2):
            found = []
            for seed in SEEDS:
                folder = output / f"{backend}-seed{seed}-{processes}"
                train(folder, backend, processes, 1, [*arguments, "--seed", str(seed)])
                found.append(json.loads((folder / "summary.json").read_text())["test_accuracy"])
            cells = "".join(f" {value:.3f} |" for value in (*found, statistics.mean(found)))
            print(f"| {backend} | {processes} |{cells}", flush=True)


def train(folder: Path, backend: str, processes: int, threads: int, options: Sequence[str]) -> None:
    """Train a run into a folder, unless it is there; each process has so many threads."""
    if (folder / "summary.json").is_file():
        return
    command = [sys.executable, "-m", "poc.cli", "run", "--backend", backend, *options]
    command += ["--processes", str(processes), "--output", str(folder), "--overwrite"]
    variables = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, check=True)


def epoch_seconds(folder: Path) -> list[float]:
    """Return the seconds of training of each epoch, without the evaluation."""
    return [line["train_seconds"] for line in RunFolder(folder).read_metrics()]


if __name__ == "__main__":
    sys.exit(main())
