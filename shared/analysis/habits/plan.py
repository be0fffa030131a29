"""The plan of an experiment over the habits: written before the first run, and never changed."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.files.whole import read_object, write_json
from poc.shared.spec.habits.designs import Design
from poc.shared.spec.settings import Settings

FILE, FORMAT, CELLS = "plan.json", "poc habits 1", "cells"
# Differences of accuracies that CrossedWires' largest one (0.681) suggests to count.
THRESHOLDS = (0.05, 0.2, 0.5)
RULES = (
    "The gap is the test accuracy of TensorFlow minus that of PyTorch, for the same set, seed and "
    "habits.",
    "A unit is a set, with the mean over its seeds; with a single set, a unit is a seed.",
    "Alone: the habit native and all others common, against all common. Removed: all native, "
    "against all native but this one.",
    "Intervals and p values are Student's, over units. Holm's rule corrects the p values of each "
    "quantity: the gap, its size, and the accuracy of each framework.",
    "The share of a habit is its effect on the mean size of the gap, over that of all habits "
    "together. It is given only if the latter is shown to be above 0.",
    "A run that stops because its loss is no longer finite counts with the accuracy of always "
    "answering the first class. Other failed runs are left out with their unit.",
)


class PlannedCell(Settings):
    """A cell: the name of its folder and its place in the design."""

    name: str
    set_number: int
    arm: str
    native: list[str]
    backend: str
    seed: int


class HabitPlan(Settings):
    """All that is decided before the first run."""

    format: str = Field(FORMAT)
    command: str
    written: str
    version: str
    design: Design
    habits: list[str]
    left_out: dict[str, str]
    sets: list[dict[str, int | float]]
    num_seeds: int
    target: float | None
    thresholds: list[float]
    rules: list[str]
    run: dict[str, object] = Field(description="settings of the first cell")
    digest: str = Field(description="of the settings of all cells")
    cells: list[PlannedCell]


# Fields that may differ when the same experiment is called again.
FREE = ("command", "written", "version")


def digest_runs(runs: Sequence[object]) -> str:
    """Return a digest of the settings of all cells, given as JSON values."""
    return hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()


def read_plan(folder: Path) -> HabitPlan:
    """Read the plan of a folder.

    Raises:
        UsageError: There is none, or it is of another format.
    """
    path = folder / FILE
    if not path.is_file():
        raise UsageError(
            f"Got {str(folder)!r}, which has no {FILE}. Expected the folder of an experiment over "
            "the habits. Try the folder that --output named."
        )
    values = read_object(path)
    if values.get("format") != FORMAT:
        raise UsageError(
            f"Got {str(path)!r} of the format {values.get('format')!r}. Expected {FORMAT!r}. Try "
            "the version of poc that wrote it."
        )
    return HabitPlan.parse(values, str(path))


def store_plan(plan: HabitPlan, folder: Path) -> None:
    """Write the plan into a new folder, or compare it with the one that is there.

    Raises:
        UsageError: The folder has another plan or other content, or cannot be made.
    """
    if (folder / FILE).is_file():
        check_same(plan, read_plan(folder), folder)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_free = not any(folder.iterdir())
    except OSError as error:
        raise UsageError(
            f"Got the output {str(folder)!r}, which cannot be made ({error.strerror}). Expected a "
            "folder that you may write to. Try naming another."
        ) from None
    if not is_free:
        raise UsageError(
            f"Got the output {str(folder)!r}, which has other content and no {FILE}. Expected a "
            "new or empty folder. Try naming one."
        )
    write_json(folder / FILE, plan.model_dump(mode="json"))


def check_same(plan: HabitPlan, stored: HabitPlan, folder: Path) -> None:
    """Refuse a plan that differs from the stored one.

    Raises:
        UsageError: It names the first field that differs.
    """
    for name in HabitPlan.model_fields:
        if name not in FREE and getattr(plan, name) != getattr(stored, name):
            what = "settings of the cells" if name in ("digest", "run") else name.replace("_", " ")
            raise UsageError(
                f"Got another plan than the one in {str(folder / FILE)!r}: its {what} differ. "
                "Expected the same plan, which continues. Try naming a new --output."
            )
