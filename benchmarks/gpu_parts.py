"""The parts of `gpu.py`: each checks or times one framework on one device, in this process.

A part returns rows, each a column -> value; a row with `problem` says what did not work.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from poc.benchmarks.gpu_stock import STOCK
from poc.shared.actions.comparison import read_batches
from poc.shared.analysis.parity.backend_pair import Caller
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.analysis.parity.rungs import compare
from poc.shared.engine.backend import Backend, load
from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import BatchArrays, Operations
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

Row = dict[str, object]
# Convolutions, batch norms and dropout on small images, in batches of eight.
SMALL_NET: Mapping[str, Any] = {
    "method": "scratch",
    "model": {
        "name": "lightnet_plain",
        "options": {"layer": "conv2d", "head": "dense", "widths": [4, 6], "dropout": 0.25},
    },
    "data": {"image_size": [12, 10], "channels": 3, "batch_size": 8},
}
# The networks of torchvision and of keras.applications.
LINEAGES = {"tf": "keras", "torch": "torchvision"}
STEPS_A_ROUND = 5


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A framework and a device on which a part runs.

    Attributes:
        backend: `tf` or `torch`.
        device: `cpu` or `gpu`.
        is_small: Take small images and few steps, to try the script without a GPU.
        patience: Factor of all time limits.
    """

    backend: str
    device: str
    is_small: bool
    patience: float = 1.0

    @property
    def timed(self) -> tuple[int, int, int]:
        """Return the side of the timed images, their number in a batch, and the rounds."""
        return (32, 2, 2) if self.is_small else (224, 64, 9)


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


def set_tf32(name: str, is_allowed: bool) -> None:
    """Switch TF32 on or off in the framework of this process."""
    if name == "tf":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(is_allowed)
    else:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = is_allowed
        torch.backends.cudnn.allow_tf32 = is_allowed


class Here:
    """Answers a worker's operations in this process."""

    def __init__(self, backend: Backend) -> None:
        self._served = ServedOperations(backend, lambda event: None, 0.0)

    def call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        """Run one operation."""
        return getattr(self._served, operation.__name__)(**arguments)


def describe(machine: Machine) -> list[Row]:
    """Return the framework's facts: versions, devices, switches."""
    backend = load(machine.backend)
    backend.prepare(RunSpec.parse({**SMALL_NET, **fields(machine)}, ""))
    facts = backend.describe()
    if machine.device == "gpu":
        facts |= describe_gpu(machine.backend)
    return [{"fact": key, "value": str(value)} for key, value in facts.items()]


def describe_gpu(name: str) -> dict[str, object]:
    """Return name, memory and capability of the first GPU, and the CUDA and cuDNN versions."""
    if name == "torch":
        import torch

        found = torch.cuda.get_device_properties(0)
        return {
            "gpu": found.name,
            "gpu memory, bytes": found.total_memory,
            "compute capability": f"{found.major}.{found.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    import tensorflow as tf

    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    build = tf.sysconfig.get_build_info()
    return {
        "gpu": details.get("device_name"),
        "compute capability": details.get("compute_capability"),
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
    }


def fields(machine: Machine) -> dict[str, str]:
    """Return the settings of a run on this machine."""
    return {"backend": machine.backend, "device": machine.device}


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


def write_error(error: float) -> str:
    """Return a relative error in few digits."""
    return "infinite" if math.isinf(error) else f"{error:.1e}"


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


def first_line(error: BaseException) -> str:
    """Return the first line of an error, with its kind."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def time_steps(
    machine: Machine, precision: str, *, has_tf32: bool = False, mode: str = "default"
) -> list[Row]:
    """Time steps of ResNet-50: this project's, and those of a loop that a user would write.

    Each side gets a batch in the host's memory. Rounds of five steps take turns; the device is
    drained at the end of each.
    """
    side, batch_size, num_rounds = machine.timed
    run = declare(machine, side, batch_size, {"precision": precision, "mode": mode})
    backend = load(machine.backend)
    backend.prepare(run.spec)
    set_tf32(machine.backend, has_tf32)
    random = np.random.default_rng(0)
    images = random.standard_normal((batch_size, side, side, 3)).astype(np.float32)
    labels = random.integers(0, 1000, batch_size)
    makers: dict[str, Callable[[], Callable[[], None]]] = {
        "this project": lambda: own_round(backend, run, images, labels),
        "stock loop": lambda: STOCK[machine.backend](run.spec, images, labels, STEPS_A_ROUND),
    }
    rounds, rows = {}, {}
    for name, make in makers.items():
        before = reset_peak(machine)
        began = time.perf_counter()
        rounds[name] = make()
        rounds[name]()
        rows[name] = {
            "side": name,
            "start and first steps, s": f"{time.perf_counter() - began:.1f}",
        }
        rounds[name]()
        peak = read_peak(machine)
        rows[name]["peak memory, MiB"] = f"{(peak - before) / 2**20:.0f}" if peak else "-"
    seconds = time_in_turn(rounds, num_rounds)
    return [{**rows[name], **summarize(values, batch_size)} for name, values in seconds.items()] + [
        compare_sides(seconds)
    ]


def declare(machine: Machine, side: int, batch_size: int, changes: dict[str, str]) -> ResolvedRun:
    """Return a run of ResNet-50 in the form of the framework's own library."""
    options = {"lineage": LINEAGES[machine.backend]}
    return resolve_networks(
        RunSpec.parse(
            {
                **fields(machine),
                "method": "scratch",
                "model": {"name": "resnet50", "options": options},
                "input_shape": [side, side, 3],
                "num_classes": 1000,
                "deterministic": False,
                "optimizer": {"name": "sgd", "learning_rate": 0.01},
                "data": {"batch_size": batch_size},
                **changes,
            },
            "",
        )
    )


def own_round(backend: Backend, run: ResolvedRun, images: Any, labels: Any) -> Callable[[], None]:
    """Return a round of this project's steps on images (N, H, W, C) and labels (N,)."""
    trainer = backend.Trainer(run, starting_weights(run))
    network, rate = run.trained_network, run.spec.optimizer.learning_rate

    def take() -> None:
        for step in range(STEPS_A_ROUND):
            noise = draw_noise(network, seed=0, step=step, batch_size=len(labels))
            trainer.step(images, labels, rate, noise)
        trainer.metrics()
        trainer.wait()

    return take


def time_in_turn(
    rounds: Mapping[str, Callable[[], None]], num_rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of a step in each round; every second round goes the other way."""
    seconds: dict[str, list[float]] = {name: [] for name in rounds}
    for number in range(num_rounds):
        for name in list(rounds)[:: 1 if number % 2 == 0 else -1]:
            began = time.perf_counter()
            rounds[name]()
            seconds[name].append((time.perf_counter() - began) / STEPS_A_ROUND)
    return seconds


def summarize(seconds: list[float], batch_size: int) -> Row:
    """Return the median step and its quartiles, and images per second."""
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {
        "step, ms": f"{1000 * median:.2f}",
        "quartiles, ms": f"{1000 * low:.2f} to {1000 * high:.2f}",
        "images/s": f"{batch_size / median:,.0f}",
    }


def compare_sides(seconds: Mapping[str, list[float]]) -> Row:
    """Return the median of the rounds' ratios: the first side's seconds over the second's."""
    first, second = seconds.values()
    ratio = statistics.median(a / b for a, b in zip(first, second, strict=True))
    return {"side": f"ratio of seconds, {' over '.join(seconds)}", "step, ms": f"{ratio:.3f}"}


def reset_peak(machine: Machine) -> int:
    """Forget the largest memory of the GPU so far, and return the current one."""
    if machine.device == "cpu":
        return 0
    if machine.backend == "torch":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("GPU:0")
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"])


def read_peak(machine: Machine) -> int:
    """Return the largest memory of the GPU since the last reset; 0 on a CPU."""
    run = RunSpec.parse({**SMALL_NET, **fields(machine)}, "")
    return load(machine.backend).peak_device_bytes(run) or 0


def run_processes(machine: Machine) -> list[Row]:
    """Train one run in one process and in two, by the command, and compare their losses."""
    rows: list[Row] = []
    for count in (1, 2):
        row: Row = {"processes": count, "device": machine.device}
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "run"
            try:
                subprocess.run(
                    processes_command(machine, count, output),
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=60 * machine.patience,
                )
                row |= read_losses(output)
            except subprocess.TimeoutExpired:
                row["problem"] = "no end within the limit"
            except subprocess.CalledProcessError as error:
                row["problem"] = (error.stderr.strip().splitlines() or ["no message"])[-1]
        rows.append({**row, "seconds": f"{time.perf_counter() - began:.1f}"})
    return rows


def processes_command(machine: Machine, count: int, output: Path) -> list[str]:
    """Return the command that trains one epoch in float64 in several processes."""
    return [
        *(sys.executable, "-m", "poc.cli", "run", "--backend", machine.backend, "-q"),
        *("--method", "lightlayers", "--k", "3", "--epochs", "1", "--processes", str(count)),
        *("--set", "precision=float64", "--set", f"device={machine.device}"),
        *("--set", f"data.split.train_per_class={4 if machine.is_small else 100}"),
        *("--output", str(output)),
    ]


def read_losses(output: Path) -> Row:
    """Return the losses of a run's last epoch."""
    lines = (output / "metrics.jsonl").read_text().splitlines()
    last = next(line for line in map(json.loads, reversed(lines)) if "val/loss" in line)
    return {
        name: f"{last[key]:.12f}"
        for name, key in (("training loss", "train/loss"), ("validation loss", "val/loss"))
        if key in last
    }
