"""`poc doctor`: the machine, the frameworks, and a small trial on each device."""

import os
from collections.abc import Mapping
from typing import TypedDict

import numpy as np

from poc.shared.analysis.tables.table import Table
from poc.shared.engine.backend import missing_packages
from poc.shared.engine.machine.environment import describe_machine
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.engine.worker.operations import BatchArrays, Operations
from poc.shared.errors import UsageError
from poc.shared.spec.bench import MODES
from poc.shared.spec.run import BACKENDS, RunSpec

from .comparison import check_parity

SOUND = ("holds", "works")
# A small network and a few images find wrong libraries as well as large ones do, in seconds.
SMALL = {
    "model": {"name": "lightnet_plain", "options": {"k": 1, "widths": [4]}},
    "data": {"batch_size": 8},
}


class Examined(TypedDict):
    """All facts that the command prints.

    `backends`: name -> facts, or `missing`, or `error`; `tried`: trial -> verdict; `problems`: one
    sentence each. One framework that is not installed is not a problem.
    """

    machine: dict[str, object]
    backends: dict[str, dict[str, object]]
    tried: dict[str, str]
    problems: list[str]


def examine() -> Examined:
    """Ask both backends for their versions and devices, and try the devices."""
    backends: dict[str, dict[str, object]] = {name: examine_backend(name) for name in BACKENDS}
    present = {name: facts for name, facts in backends.items() if "missing" not in facts}
    problems = [str(facts["error"]) for facts in present.values() if "error" in facts]
    problems += [text for name, facts in present.items() for text in find_collisions(name, facts)]
    if not present:
        problems += [f"{name}: {facts['missing']}" for name, facts in backends.items()]
    tried: dict[str, str] = {}
    if present and not any("error" in facts for facts in present.values()):
        tried = try_devices(present)
    problems += [f"{what}: {verdict}" for what, verdict in tried.items() if verdict not in SOUND]
    return {
        "machine": describe_machine(),
        "backends": backends,
        "tried": tried,
        "problems": problems,
    }


def try_devices(present: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Check parity on every device that both backends see; for one backend alone, try a step."""
    if len(present) == 1:
        return {f"{name} alone": try_alone(name) for name in present}
    has_gpu = all(facts["gpus"] for facts in present.values())
    devices = ("cpu", *(["gpu"] * has_gpu))
    return {f"parity on the {device}": try_parity(device) for device in devices}


def examine_backend(name: str) -> dict[str, object]:
    """Return a worker's facts about its framework; `missing` or `error` if none starts."""
    lacking = missing_packages(name)
    if lacking and f"POC_{name.upper()}_PYTHON" not in os.environ:
        return {"missing": f"{', '.join(lacking)} not installed: pip install 'poc[{name}]'"}
    try:
        with Worker(name) as worker:
            facts = worker.call(Operations.describe)
    except (UsageError, WorkerCrashed) as error:
        return {"error": f"{name} does not start: {error}"}
    return {**facts, "modes": list(MODES[name])}


def find_collisions(name: str, facts: Mapping[str, object]) -> list[str]:
    """Find packages of two CUDA versions in one interpreter, whose files overwrite each other."""
    libraries = facts.get("cuda_libraries")
    if not isinstance(libraries, list) or len(libraries) < 2:
        return []
    return [
        f"the interpreter of {name} has {' and '.join(libraries)}, which overwrite each other's "
        "files: give each backend its own environment (make setup-gpu)"
    ]


def try_parity(device: str) -> str:
    """Return `holds`, or the failure of the first broken rung."""
    try:
        rungs = check_parity(RunSpec.parse({**SMALL, "device": device}, ""))
    except (UsageError, WorkerCrashed) as error:
        return str(error)
    broken = [rung for rung in rungs if not rung.is_passed]
    if not broken:
        return "holds"
    return broken[0].failure


def try_alone(name: str) -> str:
    """Compute a loss and gradients in one backend; return `works`, or the fault."""
    run, data = resolve(RunSpec.parse({**SMALL, "backend": name}, ""))
    with data:
        batch = next(iter(data.train.epoch(0)))
    learned: BatchArrays = {"images": batch.images, "labels": batch.learned}
    try:
        with Worker(name) as worker:
            result = worker.call(
                Operations.loss_and_gradients,
                run=run.spec.model_dump(mode="json"),
                weights=starting_weights(run),
                batch=learned,
            )
    except (UsageError, WorkerCrashed) as error:
        return str(error)
    values = [np.asarray(result["loss"]), *result["gradients"].values()]
    is_finite = all(np.isfinite(value).all() for value in values)
    return "works" if is_finite else "a loss or a gradient is not finite"


def doctor_tables(facts: Examined) -> list[Table]:
    """Return three tables: the machine, the backends and the trials."""
    machine = [[key, write(value)] for key, value in facts["machine"].items()]
    keys = list(dict.fromkeys(key for row in facts["backends"].values() for key in row))
    backends = [[key, *(write(row.get(key)) for row in facts["backends"].values())] for key in keys]
    tried = [[what, verdict] for what, verdict in facts["tried"].items()]
    names = list(facts["backends"])
    return [
        Table(title="Machine", columns=("what", "value"), rows=machine, words=("value",)),
        Table(title="Backends", columns=("what", *names), rows=backends, words=names),
        Table(title="Tried", columns=("what", "verdict"), rows=tried, words=("verdict",)),
    ]


def write(value: object) -> str:
    """Return the text of a cell: the items of a list, or a dash for none."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
