"""The plan of an experiment over the habits, from a run's configuration."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from poc.shared.actions.requested_run import require_weights
from poc.shared.analysis.habits.plan import (
    RULES,
    THRESHOLDS,
    HabitPlan,
    PlannedCell,
    digest_runs,
)
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.errors import UsageError
from poc.shared.spec.habits.designs import COMMON, DESIGNS, Arm, list_arms
from poc.shared.spec.habits.effects import leave_out
from poc.shared.spec.reading.habit_cells import HabitCell, make_cells, read_experiment
from poc.shared.spec.reading.pretrained import WeightDefaults
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.shared.spec.suggestions import choose, likeliest
from poc.shared.spec.training.habits import HABITS

NOT_ASKED = "it was not asked for"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The experiment that a user asks for.

    Attributes:
        config: TOML file, or None.
        settings: `key=value` for every cell.
        num_sets: Number of sets; None: the file's.
        draw_seed: Seed of the draw; None: the file's.
        num_seeds: Runs per set, arm and framework; None: the file's, or 1.
        habits: Habits of the experiment; empty: all that change something.
        design: Name of the design.
        target: Validation accuracy for the comparison of epochs, or None.
        weights: Value of --weights, of which `none` allows fine-tuning from random values.
    """

    config: Path | None
    settings: Sequence[str]
    num_sets: int | None = None
    draw_seed: int | None = None
    num_seeds: int | None = None
    habits: Sequence[str] = ()
    design: str = "full"
    target: float | None = None
    weights: str | None = None


def make_plan(
    wish: Wish, command: str, defaults: WeightDefaults | None = None
) -> tuple[HabitPlan, list[HabitCell]]:
    """Make the plan and its cells; the data is opened to see which habits change the network.

    Args:
        wish: The experiment.
        command: The command line.
        defaults: As in `load_run`.

    Raises:
        UsageError: The configuration is wrong, or no habit changes anything.
    """
    design = choose("--design", wish.design, DESIGNS)
    experiment = read_experiment(
        wish.config,
        wish.settings,
        num_sets=wish.num_sets,
        draw_seed=wish.draw_seed,
        num_seeds=wish.num_seeds,
        defaults=defaults,
    )
    check_target(wish.target, len(experiment.sets))
    common = make_cells(experiment, [Arm(COMMON, frozenset())], defaults)
    for item in common:
        require_weights(item.cell.run, wish.weights)
    left_out = list_left_out([item.cell.run for item in common], wish.habits)
    habits = [name for name in HABITS if name not in left_out]
    if not habits:
        listed = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UsageError(
            f"Got a run for which no habit is left ({listed}). Expected at least one. Try another "
            "method, such as --method scratch."
        )
    arms = list_arms(habits, design)
    cells = make_cells(experiment, arms, defaults)
    natives = {arm.name: sorted(arm.native) for arm in arms}
    plan = HabitPlan(
        command=command,
        written=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        version=version("poc"),
        design=design,
        habits=habits,
        left_out=left_out,
        sets=[dict(chosen) for chosen in experiment.sets],
        num_seeds=experiment.num_seeds,
        target=wish.target,
        thresholds=list(THRESHOLDS),
        rules=list(RULES),
        run=cells[0].cell.run.model_dump(mode="json"),
        digest=digest_runs([item.cell.run.model_dump(mode="json") for item in cells]),
        cells=[describe_cell(item, natives[item.arm]) for item in cells],
    )
    return plan, cells


def check_target(target: float | None, num_sets: int) -> None:
    """Refuse a target that is no accuracy, or one for runs of different hyper-parameters.

    Raises:
        UsageError: It cannot be reached, or there are several sets.
    """
    if target is None:
        return
    if not 0 < target < 1:
        raise UsageError(
            f"Got --target {target:g}. Expected a validation accuracy between 0 and 1. Try 0.8."
        )
    if num_sets > 1:
        raise UsageError(
            f"Got --target {target:g} with {num_sets} sets. Expected a single set, whose runs "
            "differ in the seed alone. Try --sets 1 with --seeds 10."
        )


def list_left_out(runs: Sequence[RunSpec], asked: Iterable[str]) -> dict[str, str]:
    """Map each habit that is not part of the experiment to the reason.

    Args:
        runs: The runs with common habits.
        asked: Habits that the user asks for; none: all.

    Raises:
        UsageError: A habit that is asked for is unknown, refused or without effect.
    """
    resolved, data = resolve(runs[0])
    data.close()
    # The recipe has filled in the views of the first run, with which the others agree.
    found = leave_out(
        [resolved.spec, *runs[1:]], declare_network(resolved.spec), data.source.image_shape
    )
    wanted = list(asked)
    for name in wanted:
        if name not in HABITS:
            raise UsageError(
                f"Got --habits {name!r}. Expected some of {', '.join(HABITS)}. Try --habits "
                f"{likeliest(name, HABITS)}."
            )
        if name in found:
            raise UsageError(
                f"Got --habits {name}, but {found[name]}. Expected habits that a run can have and "
                "that change it. Try leaving it out."
            )
    others = [name for name in HABITS if wanted and name not in wanted and name not in found]
    return {**found, **dict.fromkeys(others, NOT_ASKED)}


def describe_cell(item: HabitCell, native: list[str]) -> PlannedCell:
    """Return a cell as the plan stores it."""
    return PlannedCell(
        name=item.cell.name,
        set_number=item.set_number,
        arm=item.arm,
        native=native,
        backend=item.cell.run.backend,
        seed=item.cell.run.seed,
    )
