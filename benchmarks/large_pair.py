"""One full exact l2t-ww iteration of a large pair: does it run here, and in how much memory?

    python benchmarks/large_pair.py --backend torch
    python benchmarks/large_pair.py --backend tf --batch-size 2

EfficientNet-B4 -> VGG16-BN with a mean as head, 224 px, all 25 pairs, all 1792 channels, T = 2,
exact, float32, random weights. The source runs once per batch. It prints the first iteration, which
includes tracing, the next one, and the peak memory of the process.
"""

import argparse
import os
import sys
import time

import numpy as np

from poc.shared.engine.backend import load
from poc.shared.engine.machine.peak_memory import own_peak_bytes
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.teacher import starting_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks

RATE = 1e-4
CLASSES = 120


def main() -> int:
    """Print the seconds per iteration and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--iterations", type=int, default=2)
    arguments = parser.parse_args()
    run = load_run(
        method="l2t-ww",
        backend=arguments.backend,
        deterministic=False,
        input_shape=(arguments.size, arguments.size, 3),
        num_classes=CLASSES,
        model={"name": "vgg16_bn", "options": {"head": "global_average"}},
        teacher={"model": {"name": "efficientnet_b4"}, "num_classes": 1000},
    )
    backend = load(arguments.backend)
    backend.prepare(run)
    trainer = backend.Trainer(resolve_networks(run), starting_weights(resolve_networks(run)))
    generator = np.random.default_rng(0)
    shape = (arguments.batch_size, arguments.size, arguments.size, 3)
    images = generator.normal(size=shape).astype(np.float32)
    labels = generator.integers(0, CLASSES, arguments.batch_size)
    for step in range(arguments.iterations):
        noise = draw_noise(
            resolve_networks(run).trained_network, seed=0, step=step, batch_size=len(images)
        )
        started = time.perf_counter()
        trainer.step(images, labels, RATE, noise)
        loss = trainer.metrics()["loss"]
        seconds = time.perf_counter() - started
        peak = own_peak_bytes()
        print(
            f"{arguments.backend}: batch {arguments.batch_size}, step {step}: {seconds:.1f} s, "
            f"loss {loss:.4g}, peak {peak / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
