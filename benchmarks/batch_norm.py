"""Time of batch norm on a CPU: this project's form and the framework's own.

    python benchmarks/batch_norm.py --backend torch
    python benchmarks/batch_norm.py --backend tf

PyTorch in training: its own function on channels-last maps, and this project's, which puts pixels
next to each other if the channels do not fill vector registers. The times are milliseconds of the
forward pass and all gradients. TensorFlow in evaluation: the formula written out, the fused
operation, and this project's choice between them. Each time is the median of rounds in which the
forms take turns.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping

ROUNDS = 31
MOMENTUM, EPSILON = 0.9, 1e-3
# Batch, size of the map, channels.
CASES = (
    (32, 94, 8),
    (64, 28, 8),
    (64, 28, 16),
    (32, 112, 24),
    (32, 28, 40),
    (32, 128, 3),
    (32, 28, 100),
    (64, 28, 64),
)
Step = Callable[[], object]


def main() -> int:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    make_steps = {"tf": make_tf_steps, "torch": make_torch_steps}[parser.parse_args().backend]
    for batch, size, channels in CASES:
        found = time_in_turn(make_steps(batch, size, channels))
        print(f"{batch:3} x {size:3}x{size:<3} x {channels:3}  ", end="")
        print("  ".join(f"{name} {1000 * value:6.2f}" for name, value in found.items()), flush=True)
    return 0


def make_torch_steps(batch: int, size: int, channels: int) -> Mapping[str, Step]:
    """Return a training step of both functions: forward pass and all gradients."""
    import torch
    from torch.nn import functional as F  # noqa: N812

    from poc.shared.engine.machine.malloc import keep_heap
    from poc.torch_impl.layers.basic import BatchNorm

    keep_heap()
    layer = BatchNorm(channels, momentum=MOMENTUM, epsilon=EPSILON)
    maps = torch.randn(batch, channels, size, size).contiguous(memory_format=torch.channels_last)
    upstream = torch.randn_like(maps)
    leaves = [maps.requires_grad_(), *layer.parameters()]

    def framework() -> torch.Tensor:
        moving = (layer.running_mean, layer.running_var)
        affine = (layer.weight, layer.bias)
        return F.batch_norm(maps, *moving, *affine, True, 1 - MOMENTUM, EPSILON)

    def own() -> torch.Tensor:
        outputs: torch.Tensor = layer(maps, training=True)
        return outputs

    def differentiate(form: Callable[[], torch.Tensor]) -> Step:
        return lambda: torch.autograd.grad(form(), leaves, upstream)

    return {"framework": differentiate(framework), "own": differentiate(own)}


def make_tf_steps(batch: int, size: int, channels: int) -> Mapping[str, Step]:
    """Return an evaluation step of the formula, the fused operation and the layer."""
    import tensorflow as tf

    from poc.tf_impl.layers.basic import BatchNorm

    layer = BatchNorm(channels, momentum=MOMENTUM, epsilon=EPSILON)
    maps = tf.random.normal((batch, size, size, channels))

    def written_out(maps: tf.Tensor) -> tf.Tensor:
        inverse = tf.math.rsqrt(layer.moving_variance + EPSILON) * layer.gamma
        return maps * inverse + (layer.beta - layer.moving_mean * inverse)

    def fused(maps: tf.Tensor) -> tf.Tensor:
        names = ("scale", "offset", "mean", "variance")
        variables = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
        values = dict(zip(names, map(tf.convert_to_tensor, variables), strict=True))
        return tf.raw_ops.FusedBatchNormV3(x=maps, **values, epsilon=EPSILON, is_training=False)[0]

    def waiting(form: Callable[[tf.Tensor], tf.Tensor]) -> Step:
        graph = tf.function(form, autograph=False)

        def step() -> None:
            graph(maps)
            tf.test.experimental.sync_devices()

        return step

    forms = {"written out": written_out, "fused": fused, "own": lambda maps: layer(maps)}
    return {name: waiting(form) for name, form in forms.items()}


def time_in_turn(steps: Mapping[str, Step]) -> dict[str, float]:
    """Return the median seconds of each step; a first call, to warm up, is not counted."""
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(ROUNDS):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            samples[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in samples.items()}


if __name__ == "__main__":
    sys.exit(main())
