"""Time of a convolution and its gradients in TensorFlow, by the way its input is padded.

    python benchmarks/padding.py

`explicit`: the convolution pads, by given numbers of pixels. `pad`: the map is padded before.
`SAME`: TensorFlow's own rule, for comparison; it pads other sides if the stride is 2. The times are
milliseconds of the forward pass and both gradients on a CPU, medians of rounds in which the forms
take turns.
"""

import statistics
import sys
import time
from collections.abc import Callable

ROUNDS = 9
# Batch, size of the map, channels in and out, size of the kernel, stride.
CASES = (
    (32, 64, 3, 64, 7, 2),
    (64, 32, 16, 32, 3, 2),
    (16, 32, 64, 128, 3, 2),
    (16, 28, 128, 256, 3, 2),
    (16, 14, 256, 512, 3, 2),
    (32, 8, 128, 256, 3, 2),
    (32, 4, 256, 512, 3, 2),
)
Step = Callable[[], None]


def main() -> int:
    """Print one line per case."""
    print(f"{'batch':>5} {'size':>4} {'in':>4} {'out':>4} kernel stride {'explicit':>9} pad SAME")
    for case in CASES:
        found = time_in_turn(make_steps(*case))
        batch, size, in_channels, out_channels, kernel, stride = case
        print(
            f"{batch:5} {size:4} {in_channels:4} {out_channels:4} {kernel:6} {stride:6} "
            + " ".join(f"{1000 * seconds:9.1f}" for seconds in found),
            flush=True,
        )
    return 0


def make_steps(
    batch: int, size: int, in_channels: int, out_channels: int, kernel: int, stride: int
) -> list[Step]:
    """Return a step of each form, forward and both gradients, already traced and run once.

    A step waits for the device.
    """
    import tensorflow as tf

    maps = tf.random.normal((batch, size, size, in_channels))
    kernels = tf.random.normal((kernel, kernel, in_channels, out_channels))
    pads = [(0, 0), (kernel // 2, kernel // 2), (kernel // 2, kernel // 2), (0, 0)]

    def differentiate(form: Callable[..., tf.Tensor]) -> Step:
        @tf.function(autograph=False)
        def gradients(maps: tf.Tensor, kernels: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch((maps, kernels))
                total = tf.reduce_sum(tf.nn.relu(form(maps, kernels)))
            return tape.gradient(total, [maps, kernels])

        def step() -> None:
            gradients(maps, kernels)
            tf.test.experimental.sync_devices()

        step()
        return step

    return [
        differentiate(lambda x, w: tf.nn.conv2d(x, w, stride, pads)),
        differentiate(lambda x, w: tf.nn.conv2d(tf.pad(x, pads), w, stride, "VALID")),
        differentiate(lambda x, w: tf.nn.conv2d(x, w, stride, "SAME")),
    ]


def time_in_turn(steps: list[Step]) -> list[float]:
    """Return the median seconds of each step."""
    samples: list[list[float]] = [[] for _ in steps]
    for _ in range(ROUNDS):
        for step, taken in zip(steps, samples, strict=True):
            started = time.perf_counter()
            step()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in samples]


if __name__ == "__main__":
    sys.exit(main())
