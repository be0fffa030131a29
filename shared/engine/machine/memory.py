"""How much memory a step needs, how much there is, and what to say when it ended."""

import math
import resource
from dataclasses import dataclass
from pathlib import Path

from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

# The kernel ends a process with signal 9 when memory ends; a person may have done so as well
# (memory_evidence.py).
KILLED_SIGNS = ("exit status -9", "exit status 137")
# What Python, TensorFlow and PyTorch say when memory ends.
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
)
SLOTS = {"sgd": 1, "adam": 2, "adamw": 2}
ITEM_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}
# An output and its gradient.
COPIES_OF_OUTPUTS = 2
# What is left to the framework, the data and other programs.
SHARE_FOR_A_RUN = 0.6
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Need:
    """An estimate, from the declared networks alone.

    Attributes:
        fixed_bytes: Weights, gradients and optimiser slots.
        example_bytes: Outputs of all layers and their gradients, for one example.
    """

    fixed_bytes: int
    example_bytes: int

    def total_bytes(self, batch_size: int) -> int:
        """Of a step."""
        return self.fixed_bytes + batch_size * self.example_bytes

    def largest_batch(self, free_bytes: int) -> int:
        """The largest power of two that fits, at least 1."""
        fitting = (free_bytes - self.fixed_bytes) // max(self.example_bytes, 1)
        return 1 << max(int(fitting).bit_length() - 1, 0)


def estimate_need(run: ResolvedRun) -> Need:
    """What a step of a resolved run needs."""
    network, source, spec = run.trained_network, run.teacher_network, run.spec
    copies = 2 + SLOTS[spec.optimizer.name]
    fixed = copies * sum(parameter.size for parameter in network.parameters)
    outputs = COPIES_OF_OUTPUTS * output_values(network)
    if source is not None:
        fixed += sum(parameter.size for parameter in source.parameters)
        outputs += output_values(source)
    return Need(ITEM_BYTES[spec.dtype] * fixed, ITEM_BYTES[spec.precision] * outputs)


def output_values(network: Network) -> int:
    """Numbers in the outputs of all layers, of one example."""
    own = sum(math.prod(node.output_shape) for node in network.nodes)
    return math.prod(network.input_shape) + own


def free_bytes() -> int | None:
    """Memory that a new process may take, as far as Linux says; none: unknown."""
    limits = [meminfo_bytes(), cgroup_bytes(), address_space_bytes()]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def meminfo_bytes() -> int | None:
    """Memory of the machine that is free or can be freed."""
    try:
        lines = MEMINFO.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return None


def cgroup_bytes() -> int | None:
    """What the container's limit leaves."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = (CGROUP / "memory.current").read_text()
        return None if limit == "max" else max(int(limit) - int(used), 0)
    except (OSError, ValueError):
        return None


def address_space_bytes() -> int | None:
    """The limit that a shell's `ulimit -v` sets."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def is_memory_error(error: BaseException) -> bool:
    """Whether an exception of Python or of a framework says that memory ended."""
    return isinstance(error, MemoryError) or has_memory_sign(f"{type(error).__name__}: {error}")


def has_memory_sign(text: str) -> bool:
    """Whether a message says that memory ended."""
    return any(sign in text.lower() for sign in MEMORY_SIGNS)


def was_killed(text: str) -> bool:
    """Whether a message says that the process was ended from outside."""
    return any(sign in text.lower() for sign in KILLED_SIGNS)


def describe_memory_error(run: RunSpec, is_certain: bool = True) -> str:
    """One sentence: batch size, model, estimated need, what is free, a batch that fits."""
    batch_size = run.data.batch_size
    start = (
        "memory ended" if is_certain else "memory ended, to which a process falls without a word"
    )
    what = f"{start}: batches of {batch_size} for the model {run.model_spec.name!r}"
    if run.input_shape is None or run.num_classes is None:
        return f"{what} were to come; lower data.batch_size"
    need, free = estimate_need(resolve_networks(run)), free_bytes()
    known = f" where {show_bytes(free)} are free" if free is not None else ""
    largest = need.largest_batch(int(SHARE_FOR_A_RUN * (free or 0)))
    fitting = min(largest, max(batch_size // 2, 1))
    return (
        f"{what} need about {show_bytes(need.total_bytes(batch_size))}{known} "
        f"({show_bytes(need.fixed_bytes)} for weights and optimiser, "
        f"{show_bytes(need.example_bytes)} an image); try --batch-size {fitting}"
    )


def show_bytes(count: int) -> str:
    """A size as people read it."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
