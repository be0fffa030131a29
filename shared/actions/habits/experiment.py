"""The experiment over the habits: run what is missing, then analyse what is there."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from poc.shared.analysis.habits.page import Analysis, analyse, write_analysis
from poc.shared.analysis.habits.plan import CELLS, HabitPlan, store_plan
from poc.shared.engine.console.progress import SweepProgress
from poc.shared.engine.launch.executors import Executor
from poc.shared.engine.launch.sweep import run_sweep
from poc.shared.errors import CheckFailed
from poc.shared.spec.reading.habit_cells import HabitCell


def run_experiment(
    plan: HabitPlan, cells: Sequence[HabitCell], output: Path, executor: Executor
) -> Analysis:
    """Write the plan, run every cell that has not finished, and write the analysis.

    Args:
        plan: The plan.
        cells: Its cells.
        output: Folder of the experiment: new, or that of the same plan.
        executor: Place where the cells run.

    Raises:
        UsageError: The folder has another plan or other content, or a cell is known to fail.
    """
    store_plan(plan, output)
    with SweepProgress(len(cells)) as progress:
        run_sweep(
            [item.cell for item in cells],
            output / CELLS,
            executor,
            command=plan.command,
            report=progress.update,
            watch=progress.watch,
        )
    return analyse_folder(output, plan.command)


def analyse_folder(output: Path, command: str) -> Analysis:
    """Analyse the runs of a folder, and write the page and the CSV files into it.

    Raises:
        UsageError: The folder has no plan, or no finished run with test answers.
    """
    analysis = analyse(output)
    write_analysis(analysis, output, command)
    return analysis


def describe_plan(plan: HabitPlan) -> Iterator[str]:
    """Yield the plan in lines: the counts, the habits, the sets, then every cell."""
    yield (
        f"{len(plan.cells):,} runs: {len(plan.sets)} sets x {plan.num_seeds} seeds x "
        f"{len({cell.arm for cell in plan.cells})} arms x 2 frameworks."
    )
    yield f"Habits: {', '.join(plan.habits)}."
    for name, reason in plan.left_out.items():
        yield f"Left out: {name}, since {reason}."
    for number, chosen in enumerate(plan.sets):
        if chosen:
            yield f"Set {number}: {', '.join(f'{key}={value:g}' for key, value in chosen.items())}"
    for cell in plan.cells:
        yield cell.name


def require_complete(analysis: Analysis, output: Path) -> None:
    """Refuse to end well if a run has no result.

    Raises:
        CheckFailed: It names the first such run.
    """
    outcomes = analysis.outcomes
    missing = [item.cell.name for item in outcomes.without_result]
    if missing:
        raise CheckFailed(
            f"Got no result for {len(missing)} of {len(outcomes.cells)} runs, the first is "
            f"{missing[0]}. Expected all. Try reading the error in {output / CELLS / missing[0]}, "
            "then the same command again."
        )
