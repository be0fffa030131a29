"""PyTorch's process-wide switches, and the description of them in every report."""

import os
import statistics
import time
from typing import Any

import torch

from poc.shared.engine.machine.malloc import keep_heap
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.precision import NO_FLOAT16, SCALED

# Matrices of 8192 rows on a GPU: a smaller product ends before the host has asked for the next.
MATMUL_SIZES, NUM_MATMULS = {"cpu": 1024, "cuda": 8192}, 9


def prepare(run: RunSpec) -> None:
    """Set determinism and TF32 before anything is built."""
    if find_device(run) == "cpu":
        # A step frees the memory that the next one takes: kept, steps are up to 16 % shorter
        # (docs/fairness.md).
        keep_heap()
    # TF32 keeps 10 bits of a float32, and the frameworks switch it on in different places.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    # It times cuDNN's algorithms, and another one may win in the next run.
    torch.backends.cudnn.benchmark = not run.deterministic
    torch.use_deterministic_algorithms(run.deterministic)
    if run.deterministic:
        # Without it older versions of PyTorch refuse deterministic matrix products on a GPU.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The fill only unmasks reads of uninitialised memory, and takes a tenth of a small net's step.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.manual_seed(run.seed)
    if run.device == "gpu" and not torch.cuda.is_available():
        raise UsageError(
            "Got device='gpu', but PyTorch sees no GPU here. Expected cpu or auto. "
            "Try device=cpu, or install the GPU build in an environment of its own."
        )

    if run.precision in SCALED and find_device(run) == "cpu":
        raise UsageError(NO_FLOAT16)


def find_device(run: RunSpec) -> str:
    """Return the device on which tensors live."""
    return "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"


@torch.no_grad()
def measure_matmul_flops(run: RunSpec) -> float:
    """Return the floating-point operations per second of a large matrix product.

    The median of nine is not moved by the first product, which includes starting the kernels.
    """
    dtype, device = getattr(torch, run.precision), find_device(run)
    size = MATMUL_SIZES[device]
    matrix = torch.randn((size, size), dtype=dtype, device=device)
    seconds = []
    for _ in range(NUM_MATMULS):
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        # The product is only queued on a GPU: without waiting, the clock would time the queue.
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    # A product of (n, n) matrices takes n^3 multiplications and n^3 additions.
    return 2 * size**3 / statistics.median(seconds)


def peak_device_bytes(run: RunSpec) -> int | None:
    """Return the most memory that was taken on the GPU so far, or none on the CPU."""
    if find_device(run) == "cpu":
        return None
    return int(torch.cuda.max_memory_allocated())


def describe(run: RunSpec) -> dict[str, Any]:
    """Return versions, the run's device, threads and switches."""
    return {
        "framework": "torch",
        "version": torch.__version__,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "device": _name_device(run),
        "intra_op_threads": torch.get_num_threads(),
        "inter_op_threads": torch.get_num_interop_threads(),
        "is_tf32_enabled": torch.backends.cuda.matmul.allow_tf32,
        "is_deterministic": torch.are_deterministic_algorithms_enabled(),
        "layout": "channels-last view of NHWC",
    }


def _name_device(run: RunSpec) -> str:
    """Return `cpu`, or the name of the GPU's model."""
    return "cpu" if find_device(run) == "cpu" else str(torch.cuda.get_device_name())
