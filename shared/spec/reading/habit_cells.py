"""Cells of an experiment over the habits: sets of hyper-parameters x seeds x arms x frameworks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.spec.habits.designs import Arm
from poc.shared.spec.run import BACKENDS

from .config import assign_all, read_toml, refuse_tables
from .drawn_sets import TABLE, read_sets
from .pretrained import WeightDefaults
from .sweep import Cell, check_seeds, make_cell, unique

ARM, SET = "habits", "set"
# An experiment sets these itself.
OWN_KEYS = ("habits", "backend")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The settings that all cells share, the sets, and the number of seeds."""

    values: Mapping[str, object]
    sets: Sequence[Mapping[str, int | float]]
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class HabitCell:
    """A cell of a sweep, with the number of its set and the name of its arm."""

    cell: Cell
    set_number: int
    arm: str


def read_experiment(
    path: Path | str | None,
    assignments: Iterable[str] = (),
    *,
    num_sets: int | None = None,
    draw_seed: int | None = None,
    num_seeds: int | None = None,
    defaults: WeightDefaults | None = None,
) -> Experiment:
    """Read an experiment from a TOML file and the command line, which wins.

    Args:
        path: TOML file of a run, with `seeds` and the table `[sets]` if it has any; or none.
        assignments: `key=value`, for every cell.
        num_sets: Number of sets; none: the file's.
        draw_seed: Seed of the draw; none: the file's.
        num_seeds: Runs of each set, arm and framework; none: the file's, or 1.
        defaults: As in `load_run`.

    Raises:
        UsageError: Unreadable file, wrong sets, or a setting that the experiment sets itself.
    """
    values = read_toml(path) if path else {}
    refuse_tables(values, path, taken=TABLE)
    sets = read_sets(values.pop(TABLE, None), num_sets, draw_seed)
    seeds_in_file = values.pop("seeds", None)
    assign_all(values, assignments, defaults)
    for key in OWN_KEYS:
        if key in values:
            raise UsageError(
                f"Got a value for {key}, which the experiment sets in each cell. Expected a run "
                f"without it. Try leaving {key} out, or --habits for some of the habits."
            )
    found = check_seeds(seeds_in_file if num_seeds is None else num_seeds, [])
    return Experiment(values=values, sets=sets, num_seeds=found)


def make_cells(
    experiment: Experiment, arms: Sequence[Arm], defaults: WeightDefaults | None = None
) -> list[HabitCell]:
    """Make every cell; those of a set and a seed follow each other.

    Raises:
        UsageError: A cell is not a valid run, or two cells are the same run.
    """
    found = list(list_cells(experiment, arms, defaults))
    unique(item.cell for item in found)
    return found


def list_cells(
    experiment: Experiment, arms: Sequence[Arm], defaults: WeightDefaults | None
) -> Iterator[HabitCell]:
    """Yield every cell, by set, seed, arm and framework."""
    for number, chosen in enumerate(experiment.sets):
        for offset in range(experiment.num_seeds):
            for arm in arms:
                natives = {f"habits.{name}": "native" for name in sorted(arm.native)}
                for backend in BACKENDS:
                    settings = {"backend": backend, **chosen, **natives}
                    product = {key: [value] for key, value in settings.items()}
                    cell = make_cell(experiment.values, settings, product, offset, defaults)
                    cell = replace(cell, name=name_cell(experiment, number, arm.name, cell))
                    yield HabitCell(cell=cell, set_number=number, arm=arm.name)


def name_cell(experiment: Experiment, number: int, arm: str, cell: Cell) -> str:
    """Return the name of a cell's folder: `set=03,habits=native,backend=tf,seed=0`."""
    parts = [f"{ARM}={arm}", f"backend={cell.run.backend}"]
    if len(experiment.sets) > 1:
        width = len(str(len(experiment.sets) - 1))
        parts.insert(0, f"{SET}={number:0{width}d}")
    if experiment.num_seeds > 1:
        parts.append(f"seed={cell.run.seed}")
    return ",".join(parts)
