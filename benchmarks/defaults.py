"""Accuracy of the default settings, compared with searched ones: a line per run, by fold.

    python benchmarks/defaults.py head.csv --weights LITE0 --data folder:PHOTOS \
        --set method=transfer --set split.kind=kfold --set feature_cache=disk \
        --axis split.fold=0,1,2,3,4 --variant default: \
        --variant "before: num_epochs=10 learning_rate=1e-3 schedule.name=constant" \
        --grid learning_rate=1e-3,1e-2 --grid num_epochs=20,100

Every run of one backend trains in this one process, because starting a process takes longer than a
short run. `--variant` names some settings; `--grid` makes a variant of each of its combinations.
Other settings are filled in as by `poc run`. The table has mean and deviation over the axis.
"""

import argparse
import csv
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from poc.shared.actions.requested_run import weight_defaults
from poc.shared.commands.options import tell as tell_note
from poc.shared.engine.backend import load
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.spec.reading.cell_names import write_value
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.sweep import parse_axis

COLUMNS = ("test_accuracy", "test_loss", "train_loss", "num_epochs", "total_seconds")


def main() -> int:
    """Train every variant at every value of the axis; write the lines, print the table."""
    arguments = read_arguments()
    defaults, module = weight_defaults(tell_note), load(arguments.backend)
    common = [f"backend={arguments.backend}", f"data.source={arguments.data}", *arguments.settings]
    if arguments.weights:
        common.append(f"initial_weights={arguments.weights}")
    key, values = parse_axis(arguments.axis)
    found: dict[str, list[float]] = {}
    with arguments.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("backend", "variant", key, *COLUMNS))
        for (name, own), value in itertools.product(read_variants(arguments), values):
            place = f"{key}={write_value(value)}"
            row = train(module, load_run(None, [*common, place, *own], defaults=defaults))
            writer.writerow((arguments.backend, name, value, *(row.get(c, "") for c in COLUMNS)))
            file.flush()
            found.setdefault(name, []).append(row["test_accuracy"])
    for name, accuracies in sorted(found.items(), key=lambda item: -statistics.mean(item[1])):
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        listed = " ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        print(f"{name:60s} {statistics.mean(accuracies):.4f} ± {spread:.4f}  {listed}")
    return 0


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="CSV of the runs")
    parser.add_argument("--backend", choices=("tf", "torch"), default="torch")
    parser.add_argument("--data", default="embedded")
    parser.add_argument("--weights")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--axis", default="seed=0,1,2")
    parser.add_argument("--variant", dest="variants", action="append", default=[])
    parser.add_argument("--grid", dest="grid", action="append", default=[])
    return parser.parse_args()


def read_variants(arguments: argparse.Namespace) -> list[tuple[str, Sequence[str]]]:
    """Return the name and the settings of each variant."""
    named = []
    for text in arguments.variants:
        name, _, settings = text.partition(":")
        named.append((name, settings.split()))
    return [*named, *combine(arguments.grid)]


def combine(grid: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield a variant per combination of the grid; none without a grid."""
    axes = [parse_axis(text) for text in grid]
    if not axes:
        return
    for chosen in itertools.product(*(values for _, values in axes)):
        own = [f"{key}={write_value(v)}" for (key, _), v in zip(axes, chosen, strict=True)]
        yield " ".join(own), own


def train(module: Any, run: Any) -> dict[str, Any]:
    """Train a run in a temporary folder; return its row."""
    with tempfile.TemporaryDirectory() as folder:
        output = RunFolder.create(Path(folder) / "run").path
        operations = ServedOperations(module, tell, 0.0)
        return operations.train(
            run=run.model_dump(mode="json"), folder=str(output), command="poc", save_every="10min"
        )


def tell(event: Any) -> None:
    """Print each note once, on standard error."""
    if event["event"] == "note" and event["text"] not in TOLD:
        TOLD.add(event["text"])
        print(json.dumps(event["text"]), file=sys.stderr)


TOLD: set[str] = set()

if __name__ == "__main__":
    sys.exit(main())
