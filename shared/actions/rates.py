"""`poc rates`: the loss over the learning rate in both backends, and the range that it suggests."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from poc.shared.analysis.figures.rate_curves import RateCurve, draw_rate_curves
from poc.shared.engine.console.work_count import Report
from poc.shared.engine.launch.imagenet import resolve_imagenet
from poc.shared.engine.numerics.rate_curve import (
    RULE,
    RateRange,
    half_window,
    join_ranges,
    plan_rates,
    smooth,
    suggest_range,
)
from poc.shared.engine.resolving.memory import require_memory
from poc.shared.engine.resolving.teacher import resolve_teacher
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations, SweptRates
from poc.shared.errors import UsageError
from poc.shared.files.whole import write_bytes, write_json
from poc.shared.spec.methods.table import find_method
from poc.shared.spec.run import RunSpec

FORMAT = "poc rates 1"
FILE = "rates.json"
MIN_STEPS, MAX_STEPS = 50, 10_000


class BackendRates(TypedDict):
    """The curve of one backend: a loss, and a smoothed one, for each rate that was tried."""

    losses: list[float]
    smoothed: list[float]
    is_diverged: bool
    range: RateRange


class RatesFile(TypedDict):
    """Content of `rates.json`; `rates` are those of the sweep, `range` lies in both backends'."""

    format: str
    command: str
    run: dict[str, object]
    stage: str
    rule: str
    rates: list[float]
    backends: dict[str, BackendRates]
    range: RateRange


def check_sweep(run: RunSpec, low: float, high: float, num_steps: int, output: Path) -> None:
    """Refuse a sweep that has no answer, before a framework starts.

    Raises:
        UsageError: The method owns its update, the numbers make no sweep, or the output exists.
    """
    if find_method(run.method).fits_head:
        raise UsageError(
            f"Got the method {run.method!r}, which takes no step and has no rate. Expected a "
            "method that trains in steps. Try --method transfer."
        )
    if find_method(run.method).is_second_order:
        raise UsageError(
            f"Got the method {run.method!r}, each step of which takes several updates and learns "
            "from them, so that a loss at one rate says little about that rate. Expected another "
            "method. Try `poc sweep --grid optimizer.learning_rate=0.03,0.1,0.3`."
        )
    if run.optimizer.accumulation_steps > 1:
        raise UsageError(
            f"Got optimizer.accumulation_steps={run.optimizer.accumulation_steps}, with which one "
            "update has several batches. Expected one batch per rate. Try removing it, with a "
            "data.batch_size as large as memory allows."
        )
    if not 0 < low < high or high > 1e6:
        raise UsageError(
            f"Got --lowest {low:g} and --highest {high:g}. Expected two rates above 0 and not "
            "above 1000000, the lower one first. Try --lowest 1e-6 --highest 10."
        )
    if not MIN_STEPS <= num_steps <= MAX_STEPS:
        raise UsageError(
            f"Got --steps {num_steps}. Expected {MIN_STEPS} to {MAX_STEPS:,}. Try --steps 100."
        )
    if output.is_symlink() or (output.exists() and (not output.is_dir() or any(output.iterdir()))):
        raise UsageError(
            f"Got the output {str(output)!r}, which exists. Expected a new or empty folder. Try "
            "another name with --output, or remove it."
        )


def find_rates(
    run: RunSpec,
    backends: Sequence[str],
    rates: tuple[float, float, int],
    output: Path,
    *,
    command: str,
    report: Report,
) -> RatesFile:
    """Sweep the rate in each backend, one after the other, and write the curves and their picture.

    Args:
        run: The run whose rate is asked for.
        backends: `tf`, `torch` or both.
        rates: Lowest and highest rate, and number of steps.
        output: Folder that is written, new or empty.
        command: The command line, recorded in the file.
        report: Called with progress events.

    Raises:
        UsageError: See `check_sweep`; or the data does not fit the run.
    """
    low, high, num_steps = rates
    check_sweep(run, low, high, num_steps, output)
    tried = plan_rates(low, high, num_steps)
    run = resolve_teacher(resolve_imagenet(run))
    require_memory(run)
    swept = {
        backend: sweep_in_worker(run.replace(backend=backend), tried, report)
        for backend in backends
    }
    content = describe_sweep(tried, swept, command)
    write_folder(output, content)
    return content


def sweep_in_worker(run: RunSpec, tried: Sequence[float], report: Report) -> SweptRates:
    """Sweep the rate in a process of the run's backend."""
    values = run.model_dump(mode="json")
    with Worker(run.backend, report=report) as worker:
        return worker.call(Operations.sweep_rates, run=values, learning_rates=tried)


def describe_sweep(tried: Sequence[float], swept: dict[str, SweptRates], command: str) -> RatesFile:
    """Return the content of `rates.json`: the curves, their ranges, and the common range."""
    half, first = half_window(len(tried)), next(iter(swept.values()))
    ranges = {
        backend: suggest_range(tried, one["losses"], half, is_diverged=one["is_diverged"])
        for backend, one in swept.items()
    }
    return {
        "format": FORMAT,
        "command": command,
        "run": {key: value for key, value in first["run"].items() if key != "backend"},
        "stage": first["stage"],
        "rule": RULE,
        "rates": list(tried),
        "backends": {
            backend: {
                "losses": one["losses"],
                "smoothed": smooth(one["losses"], half).tolist(),
                "is_diverged": one["is_diverged"],
                "range": ranges[backend],
            }
            for backend, one in swept.items()
        },
        "range": join_ranges(list(ranges.values())),
    }


def write_folder(output: Path, content: RatesFile) -> None:
    """Write the picture for light and dark pages, then the file.

    Raises:
        UsageError: The folder cannot be written.
    """
    curves = [
        RateCurve(backend, content["rates"], one["losses"], one["smoothed"])
        for backend, one in content["backends"].items()
    ]
    ends = content["range"]["low"], content["range"]["high"]
    pictures = draw_rate_curves(curves, ends, name_run(content))
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            write_bytes(output / name, picture.encode())
        write_json(output / FILE, content)
    except OSError as error:
        raise UsageError(
            f"Got the output {str(output)!r}, which cannot be written ({error.strerror}). Expected "
            "a folder that you may write to. Try another one with --output."
        ) from None


def name_run(content: RatesFile) -> str:
    """Return the title of the picture: method, model and stage."""
    run, stage = content["run"], content["stage"]
    model = run["model"]
    name = model["name"] if isinstance(model, dict) else model
    return f"{run['method']} {name}{f', stage {stage}' if stage else ''}"


def describe_rates(content: RatesFile) -> list[str]:
    """Return the lines that the command prints."""
    lines = []
    for backend, one in content["backends"].items():
        found, losses = one["range"], one["losses"]
        end = content["rates"][max(len(losses) - 1, 0)]
        lines.append(
            f"{backend}: {write_range(found)}{write_reasons(found)}"
            f"{f'; diverges after {end:.2g}' if one['is_diverged'] else ''}"
        )
    if content["stage"]:
        lines.append(f"The sweep is that of the method's first stage, {content['stage']}.")
    lines.append(f"{content['rule']} It is no promise: a run of the full length decides.")
    low, high = content["range"]["low"], content["range"]["high"]
    if low is None or high is None:
        if len(content["backends"]) > 1:
            lines.append(f"No range for both backends: {content['range']['reason']}.")
        lines.append("Try --steps, --lowest and --highest, or a larger --batch-size.")
    else:
        middle = math.sqrt(low * high)
        ends = f"{low:.2g},{middle:.2g},{high:.2g}"
        lines.append(
            f"Suggested range: {write_range(content['range'])}. Give a run one of its rates, for "
            f"example --set optimizer.learning_rate={middle:.2g}, or choose one by validation: "
            f"poc sweep --grid optimizer.learning_rate={ends}"
        )
    return lines


def write_range(found: RateRange) -> str:
    """Return a range in few words."""
    if found["low"] is None:
        return f"no range, because {found['reason']}"
    return f"{found['low']:.2g} to {found['high']:.2g}"


def write_reasons(found: RateRange) -> str:
    """Return the two rates of the rule, as the end of a line."""
    if found["steepest"] is None:
        return ""
    return f" (falls fastest at {found['steepest']:.2g}, lowest at {found['lowest']:.2g})"
