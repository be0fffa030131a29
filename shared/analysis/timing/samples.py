"""Figures of raw timing samples: medians, spreads, rates, ratios with intervals, and warnings."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from poc.shared.engine.machine.load import MAX_OTHER_SHARE
from poc.shared.engine.timing.bench_file import (
    BenchedSide,
    BenchFile,
    Derived,
    ProcessSamples,
    SideRatio,
    SideSummary,
)
from poc.shared.errors import CheckFailed
from poc.shared.files.whole import finite
from poc.shared.spec.training.precision import MIXED

from .intervals import INTERVALS, Interval, mean_ratio

# Interquartile range over median from which a row is called unsteady, and very unsteady.
UNSTEADY, VERY_UNSTEADY = 0.10, 0.25
ROWS = (
    "import",
    "build",
    "first_step",
    "step",
    "bare_step",
    "evaluation_batch",
    "pipeline_epoch",
    "epoch",
)
COMPARED = ("step", "evaluation_batch", "epoch")
# A forward pass has 2 operations per multiply-add; forward and backward cost three of them.
OPERATIONS_PER_MAC = 6
# Keys of an environment that are equal for all processes of one machine.
IDENTITY = ("processor", "num_cpus", "platform")
MISSING = object()


def derive(bench: BenchFile) -> Derived:
    """Derive every number of the tables from the raw samples alone.

    Raises:
        CheckFailed: The file has processes of different machines, or a row with invalid samples.
    """
    check_one_machine(bench["processes"])
    check_samples(bench)
    names = distinct([side_name(side) for side in bench["spec"]["sides"]])
    interval = INTERVALS[bench["format"]]
    sides = [
        summarize_side([p for p in bench["processes"] if p["side"] == index], name, interval)
        for index, name in enumerate(names)
    ]
    ratios = [
        compare_sides(bench, first, second, row)
        for first, second in combinations(range(len(sides)), 2)
        for row in COMPARED
    ]
    derived: Derived = {
        "sides": sides,
        "ratios": ratios,
        "warnings": find_warnings(bench, sides),
    }
    if found := find_deviations(bench, names):
        derived["deviations"] = found
    return derived


def find_deviations(bench: BenchFile, names: Sequence[str]) -> list[str]:
    """Return one sentence per side whose precision parity does not check."""
    precisions = side_precisions(bench)
    return [
        f"{name}: computes in {precisions[index]}; not proved equal to anything."
        for index, name in enumerate(names)
        if precisions[index] in MIXED
    ]


def side_precisions(bench: BenchFile) -> dict[int, str]:
    """Return the precision of each side's layers, by the index of the side."""
    return {process["side"]: process["precision"] for process in bench["processes"]}


def check_one_machine(processes: Sequence[ProcessSamples]) -> None:
    """Refuse to compare times of different machines.

    Raises:
        CheckFailed: The processes ran on different machines.
    """
    machines = {
        tuple(str(process["environment"].get(key)) for key in IDENTITY) for process in processes
    }
    if len(machines) > 1:
        raise CheckFailed(
            f"Got processes of {len(machines)} machines ({sorted(machines)}) in one file. Expected "
            "one machine, because times of different machines are not compared. Try a bench file "
            "of its own for each machine."
        )


def check_samples(bench: BenchFile) -> None:
    """Refuse rows without samples, and times that no clock gives.

    Raises:
        CheckFailed: A row is empty, or a time is not a finite number above 0.
    """
    for process in bench["processes"]:
        for row, samples in process["seconds"].items():
            if not samples or not all(0 < seconds < math.inf for seconds in samples):
                raise CheckFailed(
                    f"Got the samples {samples[:3]} of {row!r} in round {process['round']}. "
                    "Expected one or more times above 0, in seconds. Try running the bench again."
                )


def side_name(side: BenchedSide) -> str:
    """Return the name of a side in tables."""
    from poc.shared.spec.bench import Side

    return Side.model_validate(side).name


def distinct(names: Sequence[str]) -> list[str]:
    """Make names distinct: the second `torch eager` becomes `torch eager (2)`."""
    counts = [names[: index + 1].count(name) for index, name in enumerate(names)]
    return [
        name if count == 1 else f"{name} ({count})"
        for name, count in zip(names, counts, strict=True)
    ]


def summarize_side(
    processes: Sequence[ProcessSamples], name: str, interval: Interval
) -> SideSummary:
    """Summarise the rows of one side over its processes."""
    rows = {
        row: summarize([process["seconds"][row] for process in processes])
        for row in ROWS
        if row in processes[0]["seconds"]
    }
    first, step = processes[0], rows["step"]["median"]
    flops = OPERATIONS_PER_MAC * first["macs"] * first["batch_size"] / step
    peak = float(np.median([process["matmul_flops_per_second"] for process in processes]))
    return {
        "name": name,
        "rows": rows,
        "images_per_second": first["batch_size"] / step,
        "flops_per_second": flops,
        "matmul_flops_per_second": peak,
        "utilisation": flops / peak,
        "loop_over_bare": mean_ratio([loop_over_bare(process) for process in processes], interval),
        "epoch_over_steps": mean_ratio(
            [epoch_over_steps(process) for process in processes], interval
        ),
        "peak_memory_bytes": max(process["peak_memory_bytes"] for process in processes),
        "peak_device_bytes": max((p["peak_device_bytes"] or 0) for p in processes) or None,
    }


def loop_over_bare(process: ProcessSamples) -> float:
    """Return the median step of the training loop over that of the bare framework.

    The process took both kinds of steps in turn, so the load of the machine affects both.
    """
    return float(np.median(process["seconds"]["step"]) / np.median(process["seconds"]["bare_step"]))


def epoch_over_steps(process: ProcessSamples) -> float:
    """Return the mean epoch from end to end over the time of its steps.

    The time of the steps is their number times the mean step. The median step would leave out the
    slow steps, which an epoch contains.
    """
    seconds = process["seconds"]
    return float(np.mean(seconds["epoch"]) / (np.mean(seconds["step"]) * process["num_batches"]))


def summarize(samples: Sequence[Sequence[float]]) -> dict[str, float]:
    """Return the median of the processes' medians, and quartiles, percentiles over all samples.

    Args:
        samples: Seconds of each sample, per process.
    """
    values = np.concatenate([np.asarray(part, dtype=float) for part in samples])
    low, first, third, high = np.percentile(values, [5, 25, 75, 95])
    return {
        "median": float(np.median([np.median(part) for part in samples])),
        "iqr": float(third - first),
        "p25": float(first),
        "p75": float(third),
        "p5": float(low),
        "p95": float(high),
        "num_samples": len(values),
        "num_processes": len(samples),
    }


def compare_sides(bench: BenchFile, first: int, second: int, row: str) -> SideRatio:
    """Return the seconds of `first` over those of `second`, with an interval over rounds."""
    medians = [
        {
            p["round"]: float(np.median(p["seconds"][row]))
            for p in bench["processes"]
            if p["side"] == s
        }
        for s in (first, second)
    ]
    rounds = sorted(medians[0].keys() & medians[1].keys())
    found = mean_ratio(
        [medians[0][turn] / medians[1][turn] for turn in rounds], INTERVALS[bench["format"]]
    )
    precisions = {side_precisions(bench)[side] for side in (first, second)}
    ratio: SideRatio = {
        "first": first,
        "second": second,
        "row": row,
        "ratio": found["ratio"],
        "low": found["low"],
        "high": found["high"],
        "is_shown": not found["low"] <= 1 <= found["high"],
    }
    # A side in another precision computes something else, so its speed proves nothing.
    if precisions & set(MIXED):
        ratio["is_unproved"] = True
    return ratio


def find_warnings(bench: BenchFile, sides: Sequence[SideSummary]) -> list[str]:
    """Return one sentence per fact that makes the numbers doubtful."""
    found = []
    share = bench["other_processor_share"]
    if share is not None and share > MAX_OTHER_SHARE:
        found.append(
            f"The machine was loaded: other programs used {share:.0%} of its processors while this "
            "ran. Ratios are not to be trusted; run it again when the machine is quiet."
        )
    for side in sides:
        for name in ("step", "evaluation_batch"):
            row = side["rows"][name]
            spread = row["iqr"] / row["median"]
            if spread > UNSTEADY:
                word = "very unsteady" if spread > VERY_UNSTEADY else "unsteady"
                found.append(
                    f"{side['name']}, {name}: {word}, interquartile range {spread:.0%} of the "
                    "median."
                )
    return found


def verify(bench: BenchFile) -> list[str]:
    """List the derived numbers of a file that do not follow from its raw samples."""
    return differences(finite(derive(bench)), bench["derived"], "derived")


def differences(expected: object, stored: object, where: str) -> list[str]:
    """List the paths at which two JSON values differ, including keys of one side only."""
    if isinstance(expected, Mapping) and isinstance(stored, Mapping):
        keys = sorted(expected.keys() | stored.keys())
        return [
            text
            for key in keys
            for text in differences(
                expected.get(key, MISSING), stored.get(key, MISSING), f"{where}.{key}"
            )
        ]
    if isinstance(expected, list) and isinstance(stored, list) and len(expected) == len(stored):
        pairs = enumerate(zip(expected, stored, strict=True))
        return [text for n, (a, b) in pairs for text in differences(a, b, f"{where}[{n}]")]
    if isinstance(expected, float) and isinstance(stored, int | float):
        return [] if math.isclose(expected, stored, rel_tol=1e-9) else [where]
    return [] if expected == stored else [where]
