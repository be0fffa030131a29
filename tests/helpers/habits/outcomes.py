"""Outcomes of an experiment over the habits with chosen accuracies, without a run."""

from poc.shared.analysis.habits.outcomes import FINISHED, MISSING, Outcome, Outcomes
from poc.shared.analysis.habits.plan import RULES, THRESHOLDS, HabitPlan, PlannedCell
from poc.shared.spec.habits.designs import list_arms

HABITS = ["optimizer", "batch_norm", "padding"]
NUM_IMAGES = 1000


def make_plan(*, habits=HABITS, design="full", num_sets=4, num_seeds=1, target=None, digest="d"):
    """A plan whose cells have the names that `poc habits` gives them."""
    cells = [
        PlannedCell(
            name=f"set={number},habits={arm.name},backend={backend},seed={seed}",
            set_number=number,
            arm=arm.name,
            native=sorted(arm.native),
            backend=backend,
            seed=seed,
        )
        for number in range(num_sets)
        for seed in range(num_seeds)
        for arm in list_arms(habits, design)
        for backend in ("tf", "torch")
    ]
    return HabitPlan(
        command="poc habits --output <DIR>",
        written="2026-11-30",
        version="0",
        design=design,
        habits=list(habits),
        left_out={"loss": "it changes nothing in this run"},
        sets=[{"optimizer.learning_rate": 0.1 * (1 + number)} for number in range(num_sets)],
        num_seeds=num_seeds,
        target=target,
        thresholds=list(THRESHOLDS),
        rules=list(RULES),
        run={},
        digest=digest,
        cells=cells,
    )


def make_outcomes(plan, accuracy, *, missing=(), epochs=()):
    """The outcomes of a plan; `accuracy(cell)` is a number."""
    cells = [
        Outcome(cell=cell, status=MISSING, accuracy=None, reason="has not run yet")
        if cell.name in missing
        else Outcome(
            cell=cell,
            status=FINISHED,
            accuracy=accuracy(cell),
            seconds=2.0,
            epochs=epochs(cell) if epochs else (),
        )
        for cell in plan.cells
    ]
    return Outcomes(plan=plan, cells=cells, num_images=NUM_IMAGES)


def additive(cell):
    """Costs of TensorFlow by habit, and an interaction of two; PyTorch stays at 0.8.

    The third unit differs, so that there is a variance.
    """
    if cell.backend == "torch":
        return 0.8
    native = set(cell.native)
    lost = {"optimizer": 0.3, "batch_norm": 0.06, "padding": 0.0}
    both = 0.04 if {"optimizer", "batch_norm"} <= native else 0.0
    odd = 0.01 * (max(cell.set_number, cell.seed) - 1) * ("optimizer" in native)
    return 0.8 - sum(lost[name] for name in native) - both - odd
