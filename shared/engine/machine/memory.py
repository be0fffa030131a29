"""Memory that a step needs, memory that is free, and the message after it ended."""

import math
import resource
from dataclasses import dataclass
from pathlib import Path

from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

# The kernel ends a process with signal 9 when memory ends, but a person may have sent the same
# signal (memory_evidence.py).
KILLED_SIGNS = ("exit status -9", "exit status 137")
# Words of Python, TensorFlow and PyTorch for an end of memory, in lower case.
MEMORY_SIGNS = (
    "memoryerror",
    "out of memory",
    "outofmemory",
    "resourceexhausted",
    "resource_exhausted",
    "oom when allocating",
    "can't allocate memory",
    "cannot allocate memory",
    "bad_alloc",
    "unable to allocate",
    # oneDNN's own word, when it cannot get its buffers.
    "could not create a primitive",
)
# Values that an optimiser keeps for each parameter.
SLOTS = {"sgd": 1, "adam": 2, "adamw": 2}
ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}
# Each output is kept with its gradient.
COPIES_OF_OUTPUTS = 2
# The rest is left to the framework, the data and other programs.
SHARE_FOR_A_RUN = 0.6
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
# Rows of a container's `memory.stat` about files that were read, which count as used until others
# need the memory.
FILE_CACHE = ("inactive_file", "active_file")


@dataclass(frozen=True)
class Need:
    """Estimate of a step's memory, from the declared networks alone.

    Attributes:
        fixed_bytes: Weights, gradients and optimiser slots.
        example_bytes: Outputs of all layers and their gradients, for one example.
    """

    fixed_bytes: int
    example_bytes: int

    def total_bytes(self, batch_size: int) -> int:
        """Return the bytes of a step with so many examples."""
        return self.fixed_bytes + batch_size * self.example_bytes

    def largest_batch(self, free_bytes: int) -> int:
        """Return the largest power of two that fits, at least 1."""
        fitting = (free_bytes - self.fixed_bytes) // max(self.example_bytes, 1)
        # The bit length of a negative number is that of its amount.
        return 1 << (max(int(fitting), 1).bit_length() - 1)


def estimate_need(run: ResolvedRun) -> Need:
    """Estimate the memory that a step of a resolved run needs."""
    network, source, spec = run.trained_network, run.teacher_network, run.spec
    # 2: the weights and their gradients.
    copies = 2 + SLOTS[spec.optimizer.name] + (spec.ema.decay is not None)
    fixed = copies * sum(parameter.size for parameter in network.parameters)
    outputs = COPIES_OF_OUTPUTS * output_values(network)
    if source is not None:
        fixed += sum(parameter.size for parameter in source.parameters)
        # A teacher is not trained: its outputs have no gradients.
        outputs += output_values(source)
    return Need(ITEM_BYTES[spec.dtype] * fixed, ITEM_BYTES[spec.precision] * outputs)


def output_values(network: Network) -> int:
    """Count the numbers in the outputs of all layers, and inside attention, for one example."""
    own = sum(math.prod(node.output_shape) + node.inner_values for node in network.nodes)
    return math.prod(network.input_shape) + own


def free_bytes() -> int | None:
    """Return the memory that a new process may take in bytes, or None if Linux does not say."""
    limits = [meminfo_bytes(), cgroup_bytes(), address_space_bytes()]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def meminfo_bytes() -> int | None:
    """Return the bytes of the machine's memory that are free or can be freed, or None."""
    try:
        lines = MEMINFO.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return None


def cgroup_bytes() -> int | None:
    """Return the bytes that the container's limit leaves, or None without a limit."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        return None if limit == "max" else max(int(limit) - max(used - cached_bytes(), 0), 0)
    except (OSError, ValueError):
        return None


def cached_bytes() -> int:
    """Return the bytes of files that the container's memory keeps, and that the kernel can free."""
    try:
        rows = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return sum(int(rows.get(name, 0)) for name in FILE_CACHE)
    except (OSError, ValueError):
        return 0


def address_space_bytes() -> int | None:
    """Return the limit in bytes that a shell's `ulimit -v` sets, or None."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def is_memory_error(error: BaseException) -> bool:
    """Say if an exception of Python or of a framework reports an end of memory."""
    return isinstance(error, MemoryError) or has_memory_sign(f"{type(error).__name__}: {error}")


def has_memory_sign(text: str) -> bool:
    """Say if a message reports an end of memory."""
    return any(sign in text.lower() for sign in MEMORY_SIGNS)


def was_killed(text: str) -> bool:
    """Say if a message reports that the process was ended from outside."""
    return any(sign in text.lower() for sign in KILLED_SIGNS)


def describe_memory_error(run: RunSpec, is_certain: bool = True) -> str:
    """Write a message: batch size, model, estimated need, free memory, a batch that fits."""
    batch_size = run.data.batch_size
    start = (
        "" if is_certain else "Perhaps memory ended, which can end a process without a message. "
    )
    ended = " when memory ended" if is_certain else ""
    what = f"{start}Got batches of {batch_size} for the model {run.model_spec.name!r}{ended}."
    if run.input_shape is None or run.num_classes is None:
        return f"{what} Expected batches that fit into memory. Try a smaller data.batch_size."
    need, free = estimate_need(resolve_networks(run)), free_bytes()
    known = "memory" if free is None else f"the {show_bytes(free)} that are free"
    largest = need.largest_batch(int(SHARE_FOR_A_RUN * (free or 0)))
    fitting = min(largest, max(batch_size // 2, 1))
    # No batch is small enough if the weights alone do not fit.
    is_too_large = free is not None and need.fixed_bytes > free
    advice = "a smaller model" if is_too_large else f"--batch-size {fitting}"
    return (
        f"{what} Expected a step that fits into {known}; this one needs about "
        f"{show_bytes(need.total_bytes(batch_size))} ({show_bytes(need.fixed_bytes)} for weights "
        f"and optimiser, {show_bytes(need.example_bytes)} per image). Try {advice}."
    )


def show_bytes(count: int) -> str:
    """Write a size in a unit that people read: `3.1 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
