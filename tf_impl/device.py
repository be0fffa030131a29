"""TensorFlow's process-wide switches, and the description of them in every report."""

import os
import statistics
import time
from typing import Any

import keras
import tensorflow as tf

from poc.shared.errors import UsageError
from poc.shared.machine import count_cpus
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.precision import NO_FLOAT16, SCALED

# Matrices of 8192 rows on a GPU: a smaller product ends before the host has asked for the next.
MATMUL_SIZES, NUM_MATMULS = {"/CPU:0": 1024, "/GPU:0": 8192}, 9


def prepare(run: RunSpec) -> None:
    """Set determinism, TF32 and memory growth before anything is built."""
    # TF32 keeps 10 bits of a float32, and the frameworks switch it on in different places.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # XLA refuses this switch for max-pools; on the CPU its programs repeat to the bit without it.
    if run.deterministic and run.mode != "compiled":
        tf.config.experimental.enable_op_determinism()
    # Native dropouts draw with it, whether operations are deterministic or not.
    keras.utils.set_random_seed(run.seed)
    gpus = tf.config.list_physical_devices("GPU")
    if run.device == "gpu" and not gpus:
        raise UsageError(
            "Got device='gpu', but TensorFlow sees no GPU here. Expected cpu or auto. "
            "Try device=cpu, or install the GPU build in an environment of its own."
        )
    if run.precision in SCALED and (run.device == "cpu" or not gpus):
        raise UsageError(NO_FLOAT16)
    # TensorFlow places every operation without a device on a GPU that it can see.
    if run.device == "cpu" and gpus:
        tf.config.set_visible_devices([], "GPU")
        return
    # By default TensorFlow takes nearly all memory of a GPU at once, also from other processes.
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def find_device(run: RunSpec) -> str:
    """Return the device on which tensors live."""
    has_gpu = run.device != "cpu" and bool(tf.config.list_logical_devices("GPU"))
    return "/GPU:0" if has_gpu else "/CPU:0"


def measure_matmul_flops(run: RunSpec) -> float:
    """Return the floating-point operations per second of a large matrix product.

    The median of nine is not moved by the first product, which includes starting the kernels.
    """
    device = find_device(run)
    size = MATMUL_SIZES[device]
    with tf.device(device):
        matrix = tf.random.stateless_normal((size, size), (0, 0), dtype=run.precision)
        seconds = []
        for _ in range(NUM_MATMULS):
            started = time.perf_counter()
            tf.matmul(matrix, matrix)
            # The product is only queued on a GPU: without waiting, the clock would time the queue.
            tf.test.experimental.sync_devices()
            seconds.append(time.perf_counter() - started)
    # A product of (n, n) matrices takes n^3 multiplications and n^3 additions.
    return 2 * size**3 / statistics.median(seconds)


def peak_device_bytes(run: RunSpec) -> int | None:
    """Return the most memory that was taken on the GPU so far, or none on the CPU."""
    if find_device(run) == "/CPU:0":
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def describe(run: RunSpec) -> dict[str, Any]:
    """Return versions, the run's device, threads and switches."""
    return {
        "framework": "tensorflow",
        "version": tf.__version__,
        "keras_version": keras.__version__,
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
        "device": _name_device(run),
        "intra_op_threads": _count_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "is_tf32_enabled": tf.config.experimental.tensor_float_32_execution_enabled(),
        "layout": "NHWC",
    }


def _name_device(run: RunSpec) -> str:
    """Return `cpu`, or the name of the GPU's model."""
    if find_device(run) == "/CPU:0":
        return "cpu"
    gpu = tf.config.get_visible_devices("GPU")[0]
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", "gpu"))


def _count_threads() -> int:
    """Return the threads of one operation, by TensorFlow's own order of preference."""
    # TensorFlow reports 0 for "all processors", and every run's record has a number.
    configured = tf.config.threading.get_intra_op_parallelism_threads()
    named = os.environ.get("TF_NUM_INTRAOP_THREADS", "").strip()
    return int(configured or (int(named) if named.isdecimal() else 0) or count_cpus())
