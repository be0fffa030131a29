"""Parts of `gpu.py` that compare numbers: parity ladders, and mixed precision with float32."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from poc.benchmarks.gpu_machine import SMALL_NET, Machine, Row, fields, set_tf32
from poc.shared.actions.comparison import read_batches
from poc.shared.analysis.parity.backend_pair import Caller
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.analysis.parity.rungs import compare
from poc.shared.engine.backend import Backend, load
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import BatchArrays, Operations
from poc.shared.spec.resolved import resolve_networks
from poc.shared.spec.run import RunSpec


def climb(
    machine: Machine, precision: str, *, has_tf32: bool = False, mode: str = "default"
) -> list[Row]:
    """Climb the parity ladder between one framework's CPU and its device, from equal weights.

    The first side is a worker on the CPU, the second is this process. Bounds are those of two
    frameworks on a CPU.
    """
    run = RunSpec.parse({**SMALL_NET, "precision": precision, "backend": machine.backend}, "")
    spec, batches = read_batches(run)
    own = {"backend": machine.backend}
    # The ladder knows its sides by these names alone.
    changes = {
        "tf": {**own, "device": "cpu"},
        "torch": {**own, "device": machine.device, "mode": mode},
    }
    backend = load(machine.backend)
    with Worker(machine.backend) as first, allowing_tf32(backend, machine.backend) as allowing:
        second = cast(Caller, Here(allowing if has_tf32 else backend))
        is_brief = mode != "default" or machine.is_small
        rungs = Ladder(spec, first, second, changes, is_brief=is_brief).climb(batches)
    return [
        {
            "rung": rung.name,
            "worst tensor": rung.worst,
            "error": write_error(rung.error),
            "bound on a CPU": f"{rung.tolerance:.0e}",
            "verdict": rung.verdict,
            "notes": " ".join(rung.notes),
        }
        for rung in rungs
    ]


@contextmanager
def allowing_tf32(backend: Backend, name: str) -> Iterator[Backend]:
    """Give a backend whose matrix products and convolutions may round float32 to ten bits."""

    class Allowing:
        """The backend, which forbids TF32 whenever it is prepared, and is then overruled."""

        def __getattr__(self, word: str) -> Any:
            return getattr(backend, word)

        def prepare(self, run: RunSpec) -> None:
            backend.prepare(run)
            set_tf32(name, True)

    yield cast(Backend, Allowing())
    set_tf32(name, False)


class Here:
    """Answers a worker's operations in this process."""

    def __init__(self, backend: Backend) -> None:
        self._served = ServedOperations(backend, lambda event: None, 0.0)

    def call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        """Run one operation."""
        return getattr(self._served, operation.__name__)(**arguments)


def compare_mixed(machine: Machine) -> list[Row]:
    """Compare loss and gradients of mixed precision with those of float32 on the same device."""
    backend, rows = Here(load(machine.backend)), []
    run = RunSpec.parse({**SMALL_NET, **fields(machine)}, "")
    spec, batches = read_batches(run)
    weights = starting_weights(resolve_networks(spec))
    expected = differentiate(backend, spec, weights, batches[0])
    for precision in ("bfloat16", "float16"):
        row: Row = {"precision": precision}
        try:
            found = differentiate(backend, spec.replace(precision=precision), weights, batches[0])
        except Exception as error:
            rows.append({**row, "problem": first_line(error)})
            continue
        worst = compare("gradients", [expected["gradients"], found["gradients"]], math.inf)
        rows.append(
            {
                **row,
                "loss": f"{found['loss']:.6f}",
                "loss in float32": f"{expected['loss']:.6f}",
                "gradient that differs most": worst.worst,
                "relative error": write_error(worst.error),
            }
        )
    return rows


def differentiate(backend: Here, run: RunSpec, weights: Any, batch: BatchArrays) -> Any:
    """Return loss and gradients of a batch."""
    return backend.call(
        Operations.loss_and_gradients,
        run=run.model_dump(mode="json"),
        weights=weights,
        batch=batch,
    )


def write_error(error: float) -> str:
    """Return a relative error in few digits."""
    return "infinite" if math.isinf(error) else f"{error:.1e}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error, with its kind."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
