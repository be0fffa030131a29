"""Cost of the channel statistic, compared with the source's forward pass.

    python benchmarks/channel_statistics.py --backend torch
    python benchmarks/channel_statistics.py --backend tf --model resnet32_cifar --size 32

Two passes over the same random images take turns: one reads only the source's logits, the other
reads every default tap and adds it to the statistic. The ratio is the median over rounds of the
ratio within a round. The exit code is 1 if it is above 1.15.
"""

import argparse
import os
import statistics
import sys
import time

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.numerics.channel_statistics import add_all
from poc.shared.engine.teacher import starting_weights
from poc.shared.spec.methods.distilling import default_taps
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec

PROMISED = 1.15
NUM_LABELS, NUM_BATCHES = 20, 4


def main() -> int:
    """Print the time of both passes and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--model", default="efficientnet_b4")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    run = RunSpec(
        method="scratch",
        backend=arguments.backend,
        deterministic=False,
        model={"name": arguments.model},
        input_shape=(arguments.size, arguments.size, 3),
        num_classes=1000,
    )
    backend, resolved = load(arguments.backend), resolve_networks(run)
    network = resolved.network
    backend.prepare(run)
    generator = np.random.default_rng(0)
    shape = (arguments.batch_size, arguments.size, arguments.size, 3)
    batches = [generator.normal(size=shape).astype(np.float32) for _ in range(NUM_BATCHES)]
    labels = [generator.integers(0, NUM_LABELS, arguments.batch_size) for _ in batches]
    weights, sums = starting_weights(resolved), {}
    # One generator per pass: it keeps its model and, in TensorFlow, its traced function, so that
    # no round traces again.
    cycles = {
        name: backend.map_batches(resolved, network, weights, taps, cycle(batches))
        for name, taps in (("forward", ["logits"]), ("statistic", default_taps(network)))
    }
    seconds = {"forward": [], "statistic": []}
    for number in range(arguments.rounds + 1):
        for name, maps in cycles.items():
            started = time.perf_counter()
            for known in labels:
                found = next(maps)
                if name == "statistic":
                    add_all(sums, found, known, NUM_LABELS)
            if number:
                seconds[name].append(time.perf_counter() - started)
    pairs = zip(seconds["statistic"], seconds["forward"], strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    for name, values in seconds.items():
        per_image = statistics.median(values) / (NUM_BATCHES * arguments.batch_size)
        print(
            f"{arguments.backend} {arguments.model} {name:10s} {1e3 * per_image:8.2f} ms per image"
        )
    load_average = os.getloadavg()[0]
    print(f"{arguments.backend}: ratio {ratio:.3f}, promised {PROMISED}; load {load_average:.1f}")
    return int(ratio > PROMISED)


def cycle(batches):
    """Repeat the same batches for ever."""
    while True:
        yield from batches


if __name__ == "__main__":
    sys.exit(main())
