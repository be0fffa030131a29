"""PyTorch's process-wide switches, and what a report says about them."""

from typing import Any

import torch

from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec


def prepare(run: RunSpec) -> None:
    """Set determinism and TF32 before anything is built."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = not run.deterministic
    torch.use_deterministic_algorithms(run.deterministic)
    # It only unmasks reads of uninitialised memory, and costs a tenth of a small net's step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.manual_seed(run.seed)
    if run.device == "gpu" and not torch.cuda.is_available():
        raise UsageError(
            "received device 'gpu', but PyTorch sees none here; use cpu or auto, or install "
            "the GPU build in an environment of its own"
        )


def find_device(run: RunSpec) -> str:
    """Where tensors live."""
    return "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"


def describe() -> dict[str, Any]:
    """Versions, device, threads and switches."""
    return {
        "framework": "torch",
        "version": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "intra_op_threads": torch.get_num_threads(),
        "inter_op_threads": torch.get_num_interop_threads(),
        "is_tf32_enabled": torch.backends.cuda.matmul.allow_tf32,
        "is_deterministic": torch.are_deterministic_algorithms_enabled(),
        "layout": "channels-last view of NHWC",
    }
