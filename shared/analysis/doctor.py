"""`poc doctor`: what is installed, what will run, and a small parity on each device."""

from collections.abc import Mapping
from typing import Any

from poc.shared.engine.environment import describe_machine
from poc.shared.engine.worker import Worker, WorkerCrashed
from poc.shared.errors import UsageError
from poc.shared.spec.bench import MODES
from poc.shared.spec.run import BACKENDS, RunSpec

from .comparison import check_parity
from .figures import Table

# A small net and a few images: wrong libraries show as well as in a large one.
SMALL = {
    "model": {"name": "lightnet_plain", "options": {"k": 1, "widths": [4]}},
    "data": {"batch_size": 8},
}


def examine() -> dict[str, Any]:
    """Everything that the command prints.

    Returns:
        `machine`, `backends` (name -> facts, or `error`), `parity` (device -> verdict) and
        `problems`, one sentence each.
    """
    backends = {name: examine_backend(name) for name in BACKENDS}
    problems = [facts["error"] for facts in backends.values() if "error" in facts]
    problems += [text for name, facts in backends.items() for text in find_collisions(name, facts)]
    parity: dict[str, str] = {}
    if not any("error" in facts for facts in backends.values()):
        has_gpu = all(facts["gpus"] for facts in backends.values())
        parity = {device: try_parity(device) for device in ("cpu", *(["gpu"] * has_gpu))}
        problems += [
            f"parity on the {device}: {verdict}"
            for device, verdict in parity.items()
            if verdict != "holds"
        ]
    return {
        "machine": describe_machine(),
        "backends": backends,
        "parity": parity,
        "problems": problems,
    }


def examine_backend(name: str) -> dict[str, Any]:
    """What a worker says about its framework; `error` where none starts."""
    try:
        with Worker(name) as worker:
            facts: dict[str, Any] = worker.call("describe")
    except (UsageError, WorkerCrashed) as error:
        return {"error": f"{name} does not start: {error}"}
    return {**facts, "modes": list(MODES[name])}


def find_collisions(name: str, facts: Mapping[str, Any]) -> list[str]:
    """Packages of two CUDA versions in one interpreter, whose files overwrite each other."""
    libraries = facts.get("cuda_libraries", [])
    if len(libraries) < 2:
        return []
    return [
        f"the interpreter of {name} holds {' and '.join(libraries)}, which overwrite each other's "
        "files: give each backend an environment of its own (make setup-gpu)"
    ]


def try_parity(device: str) -> str:
    """`holds`, or what broke."""
    try:
        rungs = check_parity(RunSpec.parse({**SMALL, "device": device}, ""))
    except (UsageError, WorkerCrashed) as error:
        return str(error)
    broken = [rung for rung in rungs if not rung.is_passed]
    if not broken:
        return "holds"
    return broken[0].failure


def doctor_tables(facts: Mapping[str, Any]) -> list[Table]:
    """The machine, the backends and the devices."""
    machine = [[key, str(value)] for key, value in facts["machine"].items()]
    keys = list(dict.fromkeys(key for row in facts["backends"].values() for key in row))
    backends = [[key, *(write(row.get(key)) for row in facts["backends"].values())] for key in keys]
    parity = [[device, verdict] for device, verdict in facts["parity"].items()]
    names = list(facts["backends"])
    return [
        Table(title="Machine", columns=("what", "value"), rows=machine, words=("value",)),
        Table(title="Backends", columns=("what", *names), rows=backends, words=names),
        Table(title="Parity", columns=("device", "verdict"), rows=parity, words=("verdict",)),
    ]


def write(value: Any) -> str:
    """A cell; a list by its items, nothing as a dash."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
