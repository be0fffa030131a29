"""Content of a bench file: raw samples of processes, and the numbers that follow from them."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from poc.shared.engine.worker.operations import TimingSamples

FORMAT = "poc bench 4"
# Former formats. Both have the intervals of a bootstrap; the older one has no checksum either.
BOOTSTRAP_FORMAT, UNSEALED_FORMAT = "poc bench 3", "poc bench 2"


class ProcessSamples(TimingSamples):
    """Samples of one process, with its side and its round, both counted from 0."""

    round: int
    side: int


class BenchedModel(TypedDict):
    """The part of a stored run's model that a report names."""

    name: str


class BenchedRun(TypedDict):
    """The part of a stored run that a report names."""

    method: str
    model: BenchedModel


class BenchedSide(TypedDict):
    """A `spec.bench.Side` as plain values."""

    backend: str
    mode: str
    num_threads: int | None
    slowdown: float


class StoredBenchSpec(TypedDict):
    """The plain values of a `spec.bench.BenchSpec` that are read again."""

    run: BenchedRun
    sides: list[BenchedSide]


class MeanRatio(TypedDict):
    """A geometric mean of ratios with its 95 % interval."""

    ratio: float
    low: float
    high: float


class SideRatio(MeanRatio):
    """Seconds of one side divided by seconds of another, for one row of the table."""

    first: int
    second: int
    row: str
    is_shown: bool
    is_unproved: NotRequired[bool]


class SideSummary(TypedDict):
    """Summary of a side over its processes; seconds, bytes, and rates per second.

    `rows` has the side's parts: name -> median, iqr, p5 …, num_samples.
    """

    name: str
    rows: dict[str, dict[str, float]]
    images_per_second: float
    flops_per_second: float
    matmul_flops_per_second: float
    utilisation: float
    loop_over_bare: MeanRatio
    epoch_over_steps: MeanRatio
    peak_memory_bytes: int
    # None on a CPU, which has no memory of its own.
    peak_device_bytes: int | None


class Derived(TypedDict):
    """Every number of the tables, so that `--verify` can derive them again."""

    sides: list[SideSummary]
    ratios: list[SideRatio]
    warnings: list[str]
    deviations: NotRequired[list[str]]


class BenchFile(TypedDict):
    """Stored bench; the keys that are not required are added when its samples are judged."""

    format: str
    command: str
    started: str
    wall_seconds: float
    other_processor_share: float | None
    spec: StoredBenchSpec
    processes: list[ProcessSamples]
    failures: Mapping[str, str]
    parity: NotRequired[str]
    derived: NotRequired[Derived]
    # SHA-256 over the content of the file, added last.
    checksum: NotRequired[str]
    reissued: NotRequired[str]
