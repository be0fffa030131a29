"""The framework and the device on which a part of `gpu.py` runs, and facts about them.

A part returns rows, each a column -> value; a row with `problem` says what did not work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poc.shared.engine.backend import load
from poc.shared.spec.run import RunSpec

Row = dict[str, object]
# Convolutions, batch norms and dropout on small images, in batches of eight.
SMALL_NET: Mapping[str, Any] = {
    "method": "scratch",
    "model": {
        "name": "lightnet_plain",
        "options": {"layer": "conv2d", "head": "dense", "widths": [4, 6], "dropout": 0.25},
    },
    "data": {"image_size": [12, 10], "channels": 3, "batch_size": 8},
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A framework and a device on which a part runs.

    Attributes:
        backend: `tf` or `torch`.
        device: `cpu` or `gpu`.
        is_small: Take small images and few steps, to try the script without a GPU.
        patience: Factor of all time limits.
    """

    backend: str
    device: str
    is_small: bool
    patience: float = 1.0

    @property
    def timed(self) -> tuple[int, int, int]:
        """Return the side of the timed images, their number in a batch, and the rounds."""
        return (32, 2, 2) if self.is_small else (224, 64, 9)


def fields(machine: Machine) -> dict[str, str]:
    """Return the settings of a run on this machine."""
    return {"backend": machine.backend, "device": machine.device}


def set_tf32(name: str, is_allowed: bool) -> None:
    """Switch TF32 on or off in the framework of this process."""
    if name == "tf":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(is_allowed)
    else:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = is_allowed
        torch.backends.cudnn.allow_tf32 = is_allowed


def describe(machine: Machine) -> list[Row]:
    """Return the framework's facts: versions, devices, switches."""
    backend = load(machine.backend)
    run = RunSpec.parse({**SMALL_NET, **fields(machine)}, "")
    backend.prepare(run)
    facts = backend.describe(run)
    if machine.device == "gpu":
        facts |= describe_gpu(machine.backend)
    return [{"fact": key, "value": str(value)} for key, value in facts.items()]


def describe_gpu(name: str) -> dict[str, object]:
    """Return name, memory and capability of the first GPU, and the CUDA and cuDNN versions."""
    if name == "torch":
        import torch

        found = torch.cuda.get_device_properties(0)
        return {
            "gpu": found.name,
            "gpu memory, bytes": found.total_memory,
            "compute capability": f"{found.major}.{found.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    import tensorflow as tf

    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    build = tf.sysconfig.get_build_info()
    return {
        "gpu": details.get("device_name"),
        "compute capability": details.get("compute_capability"),
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
    }
