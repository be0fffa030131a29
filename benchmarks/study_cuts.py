"""Real studies on small cuts of Fashion-MNIST, judged on its 10,000 test images.

`study_quality.py --real` runs them. A study sees a cut of the 60,000 training images alone, as an
npz file. Its networks are then evaluated on the test images, which no study has seen: the mean over
a row's networks is the row's true accuracy. A candidate that was no finalist is judged by its best
network of the search.

Each study is one line of `studies.jsonl`. A second call goes on after the last line, and continues
a study that was stopped. Two calls with `--part 0/2` and `--part 1/2` and the same folder share the
studies, each pinned to a core of its own.
"""

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poc.shared.actions.evaluate import evaluate_folder
from poc.shared.analysis.study.decision import DECISION, Decision
from poc.shared.engine.worker.template import warm_starts
from poc.shared.spec.run import BACKENDS

PER_CLASS = (20, 50, 100)
NUM_CLASSES = 10
GOOD_REGRET = 0.01
LINES = "studies.jsonl"
Row = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The studies to run.

    Attributes:
        data: Folder of Fashion-MNIST's IDX files.
        output: Folder of the cuts, the studies and `studies.jsonl`.
        budget: Budget of each study, as for `--budget`.
        num_studies: Number of studies; the sizes of the cuts take turns.
        part: Index of this call, and number of calls that share the studies.
        options: Further options of `poc study`.
        num_networks: Largest number of networks per row that are judged.
    """

    data: Path
    output: Path
    budget: str
    num_studies: int
    part: tuple[int, int]
    options: Sequence[str]
    num_networks: int


def run_studies(plan: Plan) -> None:
    """Run the studies of this part that have no line yet, one after the other."""
    plan.output.mkdir(parents=True, exist_ok=True)
    done = {line["number"] for line in read_lines(plan.output)}
    for number in range(plan.part[0], plan.num_studies, plan.part[1]):
        if number in done:
            continue
        line = run_study(plan, number)
        with (plan.output / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"study {number}: {describe(line)}", flush=True)


def read_lines(output: Path) -> list[dict[str, Any]]:
    """Return the lines of the studies that have ended; half a last line is dropped."""
    path, found = output / LINES, []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(text))
        except ValueError:
            path.write_text("".join(json.dumps(line) + "\n" for line in found))
    return found


def run_study(plan: Plan, number: int) -> dict[str, Any]:
    """Run one study, judge its networks, and return its line."""
    per_class = PER_CLASS[number % len(PER_CLASS)]
    cut, folder = plan.output / f"cut_{number:02d}.npz", plan.output / f"study_{number:02d}"
    if not cut.exists():
        write_cut(plan.data, cut, per_class, number)
    command = [sys.executable, "-m", "poc.cli", "study", f"npz:{cut}", "--budget", plan.budget]
    began, load = time.monotonic(), os.getloadavg()[0]
    subprocess.run([*command, "--output", str(folder), *plan.options], check=True)
    seconds = time.monotonic() - began
    decision = Decision.from_json((folder / DECISION).read_text())
    truth = judge(plan, folder, decision)
    return {
        "number": number,
        "per_class": per_class,
        "budget": plan.budget,
        "seconds": seconds,
        # Of the minute before the study, from other programs.
        "load": load,
        **compare(decision, truth),
        "truth": [[*row, accuracy] for row, accuracy in truth.items()],
    }


def write_cut(data: Path, path: Path, per_class: int, seed: int) -> None:
    """Write a cut of the training images: as many of each class, drawn by the seed."""
    images = read_idx(data / "train-images-idx3-ubyte.gz", 3)
    labels = read_idx(data / "train-labels-idx1-ubyte.gz", 1)
    random = np.random.default_rng([seed, per_class])
    chosen = np.concatenate(
        [
            random.choice(np.flatnonzero(labels == label), per_class, replace=False)
            for label in range(NUM_CLASSES)
        ]
    )
    partial = path.with_name(f".{path.name}")
    np.savez_compressed(partial, images=images[chosen], labels=labels[chosen].astype(np.int64))
    partial.rename(path)


def read_idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of bytes: four bytes for each axis's length after the first four."""
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, dtype=">i4", count=num_axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * num_axes).reshape(shape)


def judge(plan: Plan, folder: Path, decision: Decision) -> dict[Row, float]:
    """Return the accuracy on the test images of each row, and of each candidate of the search."""
    runs: dict[Row, list[str]] = {}
    best: dict[Row, tuple[float, float, str]] = {}
    for text in (folder / "study.jsonl").read_text().splitlines():
        entry = json.loads(text)
        if entry.get("status") != "finished":
            continue
        row = (entry["candidate"], entry["backend"])
        if entry["phase"] == "finals" and "share-" not in entry["cell"]:
            runs.setdefault(row, []).append(entry["cell"])
        elif entry["phase"] == "search":
            found = (entry["share"], entry["accuracy"], entry["cell"])
            best[row] = max(best.get(row, found), found)
    tested = {(row.candidate, row.framework) for row in decision.candidates}
    kept = {row: cells[: plan.num_networks] for row, cells in runs.items() if row in tested}
    finalists = {candidate for candidate, _ in kept}
    kept |= {row: [cell] for row, (_, _, cell) in best.items() if row[0] not in finalists}
    with warm_starts(dict.fromkeys(BACKENDS, sum(map(len, kept.values())))):
        truth = {
            row: float(np.mean([evaluate(folder / cell, plan.data) for cell in cells]))
            for row, cells in kept.items()
        }
    # The largest class of an even cut is right for one image of ten.
    return truth | dict.fromkeys(tested - truth.keys(), 1 / NUM_CLASSES)


def evaluate(run: Path, data: Path) -> float:
    """Return the accuracy of a run's network on the 10,000 test images."""
    split = 'data.split={kind="published",val_fraction=0.0}'
    found = evaluate_folder(run, [split], data=f"idx:{data}")
    return float(str(found["accuracy"]))


def compare(decision: Decision, truth: dict[Row, float]) -> dict[str, Any]:
    """Return what the decision says, and what is true."""
    chosen = (decision.recommended.candidate, decision.recommended.framework)
    own, best = truth[chosen], max(truth, key=lambda row: truth[row])
    low, high = decision.interval
    claims = list(list_claims(decision, truth))
    return {
        "recommended": list(chosen),
        "expected": decision.expected_accuracy,
        "interval": [low, high],
        "true": own,
        "is_covered": low <= own <= high,
        "best": [*best, truth[best]],
        "regret": truth[best] - own,
        "num_claims": len(claims),
        "num_false_claims": sum(not is_true for is_true in claims),
        "learning_curve_helps": decision.learning_curve and decision.learning_curve.helps,
    }


def list_claims(decision: Decision, truth: dict[Row, float]) -> Iterator[bool]:
    """Yield for each claim of the decision whether it is true."""

    def mean(candidate: str) -> float:
        return float(np.mean([value for row, value in truth.items() if row[0] == candidate]))

    for claim in decision.better_than:
        yield mean(claim.better) > mean(claim.worse)
    for verdict in decision.frameworks:
        if verdict.better is not None:
            other = "torch" if verdict.better == "tf" else "tf"
            yield truth[verdict.candidate, verdict.better] > truth[verdict.candidate, other]


def describe(line: dict[str, Any]) -> str:
    """Write a line in few words."""
    low, high = line["interval"]
    return (
        f"{line['per_class']} images per class, {' in '.join(line['recommended'])}: expected "
        f"{line['expected']:.3f} ({low:.3f} to {high:.3f}), true {line['true']:.3f}, regret "
        f"{100 * line['regret']:.1f} points, {line['num_false_claims']} of {line['num_claims']} "
        f"claims false, {line['seconds']:.0f} s"
    )


HEADER = (
    "| images a class | studies | interval holds the truth | error, points | regret, points | "
    "within a point | claims | false claims | seconds at most |"
)


def print_table(output: Path) -> None:
    """Print a row for each size of the cuts, and one over all, in Markdown."""
    lines = read_lines(output)
    print(HEADER)
    print("|--:|" + "--:|" * 8)
    for name in (*PER_CLASS, "all"):
        own = [line for line in lines if name in (line["per_class"], "all")]
        if own:
            print(write_row(str(name), own))


def write_row(name: str, lines: Sequence[dict[str, Any]]) -> str:
    """Return a row of the table."""
    regrets = np.array([line["regret"] for line in lines])
    errors = [line["expected"] - line["true"] for line in lines]
    return (
        f"| {name} | {len(lines)} | {sum(line['is_covered'] for line in lines)} | "
        f"{100 * np.mean(errors):+.1f} | {100 * regrets.mean():.1f} | "
        f"{(regrets <= GOOD_REGRET).sum()} | {sum(line['num_claims'] for line in lines)} | "
        f"{sum(line['num_false_claims'] for line in lines)} | "
        f"{max(line['seconds'] for line in lines):.0f} |"
    )
