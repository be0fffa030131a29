"""TensorFlow's process-wide switches, and what a report says about them."""

from typing import Any

import keras
import tensorflow as tf

from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec


def prepare(run: RunSpec) -> None:
    """Set determinism, TF32 and memory growth before anything is built."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # XLA refuses the switch for max-pools; on the CPU its programs repeat to the bit anyway.
    if run.deterministic and run.mode != "compiled":
        tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(run.seed)
    gpus = tf.config.list_physical_devices("GPU")
    if run.device == "gpu" and not gpus:
        raise UsageError(
            "received device 'gpu', but TensorFlow sees none here; use cpu or auto, or install "
            "the GPU build in an environment of its own"
        )
    if run.device == "cpu" and gpus:
        tf.config.set_visible_devices([], "GPU")
        return
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


def find_device(run: RunSpec) -> str:
    """Where tensors live."""
    has_gpu = run.device != "cpu" and bool(tf.config.list_logical_devices("GPU"))
    return "/GPU:0" if has_gpu else "/CPU:0"


def describe() -> dict[str, Any]:
    """Versions, device, threads and switches."""
    return {
        "framework": "tensorflow",
        "version": tf.__version__,
        "keras_version": keras.__version__,
        "device": ", ".join(device.name for device in tf.config.list_logical_devices()),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "is_tf32_enabled": tf.config.experimental.tensor_float_32_execution_enabled(),
        "layout": "NHWC",
    }
