"""Time and memory of the matching loss of EfficientNet-B4 -> VGG16 at 224 px: Gram or naive?

    python benchmarks/matching_memory.py --backend torch --form gram --batch-size 8
    python benchmarks/matching_memory.py --backend torch --form naive --batch-size 2

All 1792 channels and all 25 pairs are used, with random maps of the published shapes. A step is one
forward and backward pass of the matching loss, with gradients to the target's maps and to the
regressors. Memory is the peak of the process during the passes, minus its memory before (Linux).
The naive form needs about 4 GB at batch 2.
"""

import argparse
import gc
import sys
import time
from pathlib import Path

import numpy as np

from poc.shared.spec.methods.l2t_ww import ChannelPair, L2TWWOptions
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.declaration import prefixed

SOURCES = {1: (112, 24), 2: (56, 32), 3: (28, 56), 4: (14, 160), 5: (7, 1792)}
TARGETS = {1: (224, 64), 2: (112, 128), 3: (56, 256), 4: (28, 512), 5: (14, 512)}


def parameters_of(pair, options):
    """Return the parameters of a pair: its regressor and meta-networks."""
    regressor = pair.layer(options).parameters((pair.target_shape,))
    return [*(prefixed(pair.regressor, p) for p in regressor), *pair.meta_parameters(options)]


def main() -> int:
    """Print the seconds and the added memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--form", choices=("gram", "naive", "auto"), required=True)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    options = L2TWWOptions(matching=arguments.form)
    pairs = [
        ChannelPair(
            source=f"source{m}",
            target=f"target{n}",
            source_shape=(source[0], *source),
            target_shape=(target[0], *target),
        )
        for n, target in TARGETS.items()
        for m, source in SOURCES.items()
    ]
    generator = np.random.default_rng(0)
    arrays = {}
    for pair in pairs:
        for tap, shape in ((pair.source, pair.source_shape), (pair.target, pair.target_shape)):
            if tap not in arrays:
                size = (arguments.batch_size, *shape)
                arrays[tap] = generator.standard_normal(size, dtype=np.float32)
    parameters = [p for pair in pairs for p in parameters_of(pair, options)]
    weights = draw_weights(parameters, seed=0)
    run = {"tf": run_tf, "torch": run_torch}[arguments.backend]
    step = run(options, pairs, arrays, weights)
    reset_peak()
    before = status_bytes("VmRSS")
    seconds = []
    for _ in range(arguments.rounds):
        started = time.perf_counter()
        loss = step()
        seconds.append(time.perf_counter() - started)
    added = (status_bytes("VmHWM") - before) / 1e9
    print(
        f"{arguments.backend} {arguments.form} batch {arguments.batch_size}: loss {loss:.6f}, "
        f"{min(seconds):.2f} s (least of {arguments.rounds}), {added:.2f} GB added to "
        f"{before / 1e9:.2f} GB"
    )
    return 0


def reset_peak() -> None:
    """Set the kernel's record of the peak memory back to the present memory."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def status_bytes(key: str) -> int:
    """Return the bytes in a line of the kernel's status of this process; VmHWM is its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def run_torch(options, pairs, arrays, weights):
    """Return a step that computes the loss and its gradients in PyTorch.

    `arrays` are maps (N, H, W, C) float32; they are removed as they become tensors.
    """
    import torch

    from poc.torch_impl.methods.l2t_ww.matching import Matching

    matching = Matching(options, pairs, dtype="float32", device="cpu")
    maps = {n: torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for n, a in arrays.items()}
    arrays.clear()
    weights = {n: v.transpose(3, 2, 0, 1) if v.ndim == 4 else v for n, v in weights.items()}
    values = {n: torch.from_numpy(v.astype(np.float32)) for n, v in weights.items()}
    leaves = [v.requires_grad_() for n, v in values.items() if n.startswith("regressor")]
    leaves += [v.requires_grad_() for n, v in maps.items() if n.startswith("target")]

    def step() -> float:
        with torch.no_grad():
            constants = matching.prepare(maps)
            gates = matching.gates(constants.pooled, values)
        errors = matching.errors(constants, maps, values)
        loss = matching.losses(gates.weights, errors).mean()
        torch.autograd.grad(loss, leaves)
        return loss.item()

    return step


def run_tf(options, pairs, arrays, weights):
    """Return a step that computes the loss and its gradients in TensorFlow.

    `arrays` are maps (N, H, W, C) float32; they are removed as they become tensors.
    """
    import tensorflow as tf

    from poc.tf_impl.methods.l2t_ww.matching import Matching

    matching = Matching(options, pairs, dtype="float32", device="/CPU:0")
    maps = {n: tf.constant(a) for n, a in arrays.items()}
    arrays.clear()
    values = {n: tf.constant(v, "float32") for n, v in weights.items()}
    leaves = [v for n, v in values.items() if n.startswith("regressor")]
    leaves += [v for n, v in maps.items() if n.startswith("target")]

    @tf.function
    def compute():
        constants = matching.prepare(maps)
        gates = matching.gates(constants.pooled, values)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(leaves)
            errors = matching.errors(constants, maps, values)
            loss = tf.reduce_mean(matching.losses(gates.weights, errors))
        # Sum each gradient: a graph would drop unused gradients, and copy full ones out.
        return loss, [tf.reduce_sum(g) for g in tape.gradient(loss, leaves)]

    return lambda: float(compute()[0])


if __name__ == "__main__":
    sys.exit(main())
