"""Test of the bench itself: no verdict between equal sides, and one on a side slowed by 10 %.

    python benchmarks/equal_sides.py --backend torch --output equal_sides.json
    python benchmarks/equal_sides.py --backend tf --model resnet18 --repeats 3

Each repeat is a separate bench of three sides: the default mode, the same again, and the same with
a sleep of a tenth of each step after it. Its processes take turns. A line has both ratios of the
steady step, each with its 95 % interval. The exit code is 1 if, in more than a tenth of the
repeats, the first interval does not contain 1, or the second contains it.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poc.shared.analysis.timing.samples import derive
from poc.shared.engine.timing.rounds import run_bench
from poc.shared.spec.bench import MODES, BenchSpec, Side
from poc.shared.spec.reading.config import load_run

SLOWDOWN = 0.1
ALLOWED_SHARE = 0.1
EQUAL, SLOWED = (1, 0), (2, 0)


def main() -> int:
    """Print one line per repeat, then both counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--model", help="default: the model of `poc run`")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--output", type=Path, help="file for every ratio and process")
    arguments = parser.parse_args()
    spec = make_spec(arguments)
    repeats = []
    for number in range(1, arguments.repeats + 1):
        repeats.append(time_repeat(spec))
        print(f"{number:3}  {describe(repeats[-1])}", flush=True)
    wrong = {
        "equal sides told apart": sum(row["equal"]["is_shown"] for row in repeats),
        "slowed sides not seen": sum(not is_seen(row["slowed"]) for row in repeats),
    }
    for words, count in wrong.items():
        print(f"{words}: {count} of {len(repeats)}")
    if arguments.output:
        content = {"spec": spec.model_dump(mode="json"), "wrong": wrong, "repeats": repeats}
        arguments.output.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return int(any(count > ALLOWED_SHARE * len(repeats) for count in wrong.values()))


def make_spec(arguments: argparse.Namespace) -> BenchSpec:
    """Return a bench of the default mode twice, and once slowed, on a few embedded images."""
    model = [f"model.name={arguments.model}"] if arguments.model else []
    small = "data.split.train_per_class=20"
    run = load_run(assignments=[small, *model, *arguments.assignments])
    equal = Side(backend=arguments.backend, mode=next(iter(MODES[arguments.backend])))
    return BenchSpec(
        run=run,
        sides=(equal, equal, equal.model_copy(update={"slowdown": SLOWDOWN})),
        num_processes=arguments.processes,
        warmup_steps=arguments.warmup,
        timed_steps=arguments.steps,
        timed_seconds=arguments.seconds,
    )


def time_repeat(spec: BenchSpec) -> dict[str, Any]:
    """Run one bench; return both ratios, and the medians behind them."""
    bench = run_bench(spec, command=" ".join(sys.argv), report=lambda text: None)
    derived = derive(bench)
    ratios = {
        (ratio["second"], ratio["first"]): ratio
        for ratio in derived["ratios"]
        if ratio["row"] == "step"
    }
    return {
        "equal": ratios[EQUAL],
        "slowed": ratios[SLOWED],
        "started": bench["started"],
        "other_processor_share": bench["other_processor_share"],
        "median_step_seconds": [
            {
                "side": p["side"],
                "round": p["round"],
                "num_steps": len(p["seconds"]["step"]),
                "seconds": statistics.median(p["seconds"]["step"]),
            }
            for p in bench["processes"]
        ],
    }


def is_seen(ratio: Mapping[str, Any]) -> bool:
    """Return true if the bench shows that the slowed side takes longer."""
    return bool(ratio["is_shown"] and ratio["ratio"] < 1)


def describe(row: Mapping[str, Any]) -> str:
    """Write both ratios: the seconds of the default over those of the other side."""
    texts = [
        f"{name} {row[name]['ratio']:.3f} [{row[name]['low']:.3f}, {row[name]['high']:.3f}]"
        for name in ("equal", "slowed")
    ]
    return "  ".join(texts) + f"  others {row['other_processor_share'] or 0:.0%}"


if __name__ == "__main__":
    sys.exit(main())
