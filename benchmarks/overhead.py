"""Cost of the training loop, compared with a bare loop of the same framework step.

    python benchmarks/overhead.py --backend tf
    python benchmarks/overhead.py --backend torch

Both sides train the same model in the same process, epoch by epoch in turn. The bare side calls the
backend's update on tensors that were made beforehand: no pipeline, no noise, no schedule, no
metrics, no logging. The exit code is 1 if the median ratio is above the promise.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any, cast

from poc.shared.engine.backend import load
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.training.loop import TrainingLoop
from poc.shared.engine.training.supervision import Supervision
from poc.shared.spec.reading.config import load_run

PROMISED_RATIO = 1.05


def main() -> int:
    """Print the seconds per epoch of both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    run, data = resolve(
        load_run(
            backend=arguments.backend,
            assignments=[*arguments.assignments, f"num_epochs={arguments.rounds + 1}"],
        )
    )
    backend = load(arguments.backend)
    backend.prepare(run.spec)
    folder = RunFolder.create(tempfile.mkdtemp() + "/run")
    loop_seconds, bare_seconds = [], []

    def take_turn(event: Mapping[str, Any]) -> None:
        """Time the same steps without the loop after each of its epochs."""
        if event["event"] == "epoch":
            loop_seconds.append(event["train_seconds"])
            bare_seconds.append(run_bare(loop, bare))

    loop = TrainingLoop(run, backend, data, Supervision(folder=folder, report=take_turn))
    bare = bare_steps(arguments.backend, loop)
    loop.run()
    # The first epoch of both sides is a warm-up.
    del loop_seconds[0], bare_seconds[0]
    ratios = [a / b for a, b in zip(loop_seconds, bare_seconds, strict=True)]
    ratio = statistics.median(ratios)
    print(
        f"{arguments.backend}: loop {statistics.median(loop_seconds):.4f} s, bare "
        f"{statistics.median(bare_seconds):.4f} s per epoch of {data.train.num_batches} steps; "
        f"ratio {ratio:.3f} (median of {arguments.rounds} pairs), promised {PROMISED_RATIO}"
    )
    return int(ratio > PROMISED_RATIO)


def bare_steps(backend: str, loop: TrainingLoop) -> list[tuple[Any, ...]]:
    """Return the tensors of every batch of an epoch, as the backend's update takes them."""
    arrays = __import__(f"poc.{backend}_impl.arrays", fromlist=["arrays"])
    # The tree's own trainer: the contract does not promise its device.
    spec, trainer = loop.spec, cast(Any, loop.trainer)
    steps = []
    for step, batch in enumerate(loop.data.train.epoch(0)):
        noise = draw_noise(loop.steps.network, seed=0, step=step, batch_size=len(batch.labels))
        steps.append(
            (
                arrays.images_to_tensor(batch.images, dtype=spec.precision, device=trainer.device),
                arrays.labels_to_tensor(batch.labels, dtype=spec.precision, device=trainer.device),
                arrays.rate_to_tensor(loop.steps.rate(step)),
                arrays.noise_to_tensors(noise, device=trainer.device),
                {},
            )
        )
    return steps


def run_bare(loop: TrainingLoop, steps: list[tuple[Any, ...]]) -> float:
    """Run one bare epoch; return its seconds."""
    started = time.perf_counter()
    for step in steps:
        cast(Any, loop.trainer).update(*step)
    loop.trainer.wait()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
