"""Speed of each backend's default mode, compared with its fastest mode on this machine.

    python benchmarks/default_modes.py                      # every model: about 15 minutes
    python benchmarks/default_modes.py lightlayers kd --steps 20 --rounds 2
    python benchmarks/default_modes.py --backend torch --modes channels_first --rounds 6

Each mode trains in its own process, and their steps take turns. A line has the median steady step,
and the share of the fastest mode's speed that the mode reaches. Another precision is another
program: its row is printed, but the promise does not cover it. The exit code is 1 if the default
reaches less than the promised share. `poc bench` checks that the modes compute the same.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from poc.shared.engine.machine.load import busy_seconds, other_share
from poc.shared.engine.timing.rounds import in_turn, time_round
from poc.shared.spec.bench import BenchSpec, Side, parse_sides
from poc.shared.spec.run import RunSpec

PROMISED_SHARE = 0.95
COLOUR = {"channels": 3, "normalization": "torch"}
MODELS: Mapping[str, Mapping[str, Any]] = {
    "conv2d_chain": {
        "method": "lightlayers",
        "model": {"name": "conv2d_chain"},
        "data": {"image_size": [96, 96]},
    },
    "lightlayers": {"method": "lightlayers", "model": {"options": {"k": 3}}},
    "googlenet": {
        "method": "scratch",
        "model": {"name": "googlenet"},
        "data": {"image_size": [64, 64]},
    },
    "resnet18": {
        "method": "scratch",
        "model": {"name": "resnet18"},
        "data": {"image_size": [64, 64], **COLOUR},
    },
    "kd": {
        "method": "kd",
        "model": {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [8, 16, 32]}},
        "teacher": {"model": {"name": "resnet32_cifar"}},
        "data": {"image_size": [32, 32], **COLOUR},
    },
    "l2t-ww": {
        "method": "l2t-ww",
        "model": {"name": "vgg9_bn", "options": {"width": 0.25}},
        # The maps of an untrained source can have any scale.
        "method_options": {"standardize": True},
        "optimizer": {"learning_rate": 1e-3},
        "teacher": {"model": {"name": "resnet32_cifar"}},
        "data": {"image_size": [32, 32], **COLOUR},
    },
}


def main() -> int:
    """Print one line per model and mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--backend", choices=("tf", "torch"), help="one of them; default: both")
    parser.add_argument("--modes", nargs="+", help="modes to time with the default; default: all")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path, help="file for all samples")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.models if name not in MODELS]:
        parser.error(f"unknown model {unknown[0]}; known are {', '.join(MODELS)}")
    started, busy = time.monotonic(), busy_seconds()
    sides = choose_sides(arguments.backend, arguments.modes)
    results = []
    for name in arguments.models or MODELS:
        found = time_model(make_spec(name, sides, arguments), arguments.rounds)
        for backend in sorted({side.backend for side in sides}):
            results += print_backend(name, backend, sides, found)
    share = other_share(busy, busy_seconds(), time.monotonic() - started)
    print(f"Other programs used {share:.0%} of the processors meanwhile." if share else "")
    if arguments.output:
        arguments.output.write_text(json.dumps({"rows": results, "other_share": share}, indent=1))
    return int(any(row["is_default"] and row["share"] < PROMISED_SHARE for row in results))


def choose_sides(backend: str | None, modes: Sequence[str] | None) -> list[Side]:
    """Return every mode, or the defaults and the named ones, of one backend or both."""
    return [
        side
        for side in parse_sides([], "all")
        if backend in (None, side.backend)
        and (modes is None or side.is_default or side.mode in modes)
    ]


def make_spec(name: str, sides: Sequence[Side], arguments: argparse.Namespace) -> BenchSpec:
    """Return a bench of one model on a few of the embedded images."""
    row = MODELS[name]
    data = {
        **row.get("data", {}),
        "batch_size": arguments.batch_size,
        "split": {"train_per_class": 20},
        "drop_last": True,
    }
    run = RunSpec.parse({**row, "data": data}, "")
    return BenchSpec(
        run=run,
        sides=tuple(sides),
        num_processes=max(arguments.rounds, 2),
        warmup_steps=arguments.warmup,
        timed_steps=arguments.steps,
        timed_seconds=arguments.seconds,
    )


def time_model(spec: BenchSpec, rounds: int) -> dict[int, list[float] | str]:
    """Time every side: its index -> the median steps of its processes, or why it does not run."""
    found: dict[int, Any] = {}
    for number in range(rounds):
        places = [p for p in range(len(spec.sides)) if not isinstance(found.get(p), str)]
        for place, samples in time_round(spec, in_turn(places, number)).items():
            if isinstance(samples, str):
                found[place] = samples
            else:
                median = statistics.median(samples["seconds"]["step"])
                found.setdefault(place, []).append(median)
    return found


def print_backend(
    name: str, backend: str, sides: Sequence[Side], found: Mapping[int, list[float] | str]
) -> list[dict[str, Any]]:
    """Print the lines of one model in one backend; return their values."""
    places = [index for index, side in enumerate(sides) if side.backend == backend]
    seconds = {
        index: statistics.median(values)
        for index in places
        if not isinstance(values := found[index], str)
    }
    fastest = min((seconds[i] for i in seconds if not sides[i].is_mixed), default=float("nan"))
    rows = []
    for index in places:
        side = sides[index]
        if index not in seconds:
            print(f"{name:14} {side.name:22} does not run: {found[index]}", flush=True)
            continue
        share = fastest / seconds[index]
        words = "default" if side.is_default else "other precision" if side.is_mixed else ""
        print(
            f"{name:14} {side.name:22} {1000 * seconds[index]:9.2f} ms per step {share:6.2f} of "
            f"the fastest {words}",
            flush=True,
        )
        rows.append(
            {
                "model": name,
                "side": side.name,
                "step_seconds": found[index],
                "share": share,
                "is_default": side.is_default,
            }
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
