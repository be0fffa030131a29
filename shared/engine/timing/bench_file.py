"""What a bench file holds: raw samples of processes, and the numbers that follow from them."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from poc.shared.engine.worker.operations import TimingSamples


class ProcessSamples(TimingSamples):
    """A process of a bench: of which side, in which round."""

    round: int
    side: int


class BenchedModel(TypedDict):
    """The part of a stored run that a report names."""

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
    """A `spec.bench.BenchSpec` as plain values, as far as they are read again."""

    run: BenchedRun
    sides: list[BenchedSide]


class MeanRatio(TypedDict):
    """A geometric mean of ratios with its 95 % interval."""

    ratio: float
    low: float
    high: float


class SideRatio(MeanRatio):
    """Seconds of one side over seconds of another, of one row."""

    first: int
    second: int
    row: str
    is_shown: bool
    is_unproved: NotRequired[bool]


class SideSummary(TypedDict):
    """A side over its processes; `rows` has its parts: name -> median, iqr, p5 …, num_samples."""

    name: str
    rows: dict[str, dict[str, float]]
    images_per_second: float
    flops_per_second: float
    matmul_flops_per_second: float
    utilisation: float
    loop_over_bare: MeanRatio
    epoch_over_steps: MeanRatio
    peak_memory_bytes: int
    peak_device_bytes: int | None


class Derived(TypedDict):
    """Every number of the tables."""

    sides: list[SideSummary]
    ratios: list[SideRatio]
    warnings: list[str]
    deviations: NotRequired[list[str]]


class BenchFile(TypedDict):
    """A bench; what is not required is added when its samples are judged and sealed."""

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
    checksum: NotRequired[str]
    reissued: NotRequired[str]
