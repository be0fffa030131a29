"""Tables of an experiment over the habits."""

from collections.abc import Mapping, Sequence

import numpy as np

from poc.shared.analysis.statistics.paired import PairedMean
from poc.shared.analysis.tables.table import Table, drop_silent_columns
from poc.shared.analysis.verdicts.phrases import FRAMEWORKS
from poc.shared.engine.numerics.metrics import Interval

from .effects import ALONE, LEVEL, QUANTITIES, REMOVED, TOGETHER, Count, Effect, Native
from .outcomes import FINISHED, NOT_FINITE, Outcomes, Units
from .targets import TargetRow

CONTRASTS = {
    ALONE: "native alone",
    REMOVED: "all native against all but it",
    TOGETHER: "all native against all common",
}


def effect_table(effects: Sequence[Effect], quantity: str) -> Table:
    """Tabulate the contrasts of one quantity."""
    rows = [
        [
            item.habit,
            CONTRASTS[item.contrast],
            *write_mean(item.found),
            "-" if item.adjusted is None else f"{item.adjusted:.2g}",
            "-" if item.share is None else f"{100 * item.share:.0f} %",
            str(item.found.num_units) if item.found else "0",
        ]
        for item in effects
        if item.quantity == quantity and item.contrast != LEVEL
    ]
    columns = ["habit", "contrast", "effect", "95 % interval", "p (Holm)", "share", "units"]
    return drop_silent_columns(
        Table(
            title=f"Effects on the {QUANTITIES[quantity]}",
            columns=columns,
            rows=rows,
            words=["contrast"],
            is_stacked=True,
        )
    )


def write_mean(found: PairedMean | None, form: str = "{:+.4f}") -> list[str]:
    """Return the cells of a mean and of its interval, with dashes for what is not known."""
    if found is None:
        return ["-", "-"]
    return [form.format(found.mean), write_interval(found.interval, form)]


def write_interval(interval: Interval | None, form: str = "{:+.4f}") -> str:
    """Return `low to high`, or a dash."""
    return "-" if interval is None else " to ".join(form.format(end) for end in interval)


def count_table(counts: Sequence[Count], word: str) -> Table:
    """Tabulate how many units are far apart in each arm; `word` names the units."""
    by_arm: dict[str, list[Count]] = {}
    for item in counts:
        by_arm.setdefault(item.arm, []).append(item)
    thresholds = [item.threshold for item in next(iter(by_arm.values()))]
    return Table(
        title=f"How many {word} are far apart",
        columns=["habits", *(f"gap above {limit:g}" for limit in thresholds), "largest", word],
        rows=[
            [
                arm,
                *(f"{item.num_above} ({write_share(item.interval)})" for item in own),
                f"{own[0].largest:.4f}",
                str(own[0].num_units),
            ]
            for arm, own in by_arm.items()
        ],
        note=f"In brackets: 95 % interval (Wilson) of the share of all such {word}.",
    )


def write_share(interval: Interval) -> str:
    """Return an interval of a share as `2 to 17 %`."""
    return f"{100 * interval.low:.0f} to {100 * interval.high:.0f} %"


def accuracy_table(units: Units, arms: Mapping[str, Native]) -> Table:
    """Tabulate the mean accuracy of each arm in both frameworks."""
    rows = []
    for name, native in arms.items():
        cells = []
        for values in (
            units.accuracy(native, "tf"),
            units.accuracy(native, "torch"),
            units.gap(native),
            np.abs(units.gap(native)),
        ):
            known = values[np.isfinite(values)]
            cells.append(f"{known.mean():.4f}" if len(known) else "-")
        rows.append([name, *cells])
    return Table(
        title="Mean accuracies",
        columns=["habits", "TensorFlow", "PyTorch", "gap", "size of the gap"],
        rows=rows,
        note="Means over units: test accuracy in each framework, TensorFlow minus PyTorch, and the "
        "absolute value of that.",
    )


def target_table(rows: Sequence[TargetRow], target: float) -> Table:
    """Tabulate the comparisons of epochs to the target."""
    return Table(
        title=f"Epochs to a validation accuracy of {target:g}",
        columns=["habits", "candidate", "its mean", "the other's", "p (Holm)", "unseen", "missed"],
        rows=[
            [
                row.arm,
                FRAMEWORKS[row.candidate],
                *(
                    [f"{row.found.candidate:.2f}", f"{row.found.reference:.2f}"]
                    if row.found
                    else ["-", "-"]
                ),
                "-" if row.adjusted is None else f"{row.adjusted:.2g}",
                f"{row.found.largest_speedup:.2f}" if row.found else "-",
                "{} and {} of {} and {}".format(*row.num_missed, *row.num_runs),
            ]
            for row in rows
        ],
        words=["candidate", "missed"],
        note="One-sided: does the candidate need fewer epochs? Means without the fastest and the "
        "slowest run. Unseen: a speed-up below this ratio need not be found with so many runs. "
        "Missed: runs of the candidate and of the other that never reach the target.",
    )


def seconds_table(outcomes: Outcomes) -> Table:
    """Tabulate the runs and their seconds for each framework."""
    rows = []
    for backend, name in FRAMEWORKS.items():
        own = [item for item in outcomes.cells if item.cell.backend == backend]
        seconds = [item.seconds for item in own if item.seconds is not None]
        counts = [sum(item.status == status for item in own) for status in (FINISHED, NOT_FINITE)]
        left = len(own) - sum(counts)
        mean = f"{np.mean(seconds):.1f}" if seconds else "-"
        rows.append([name, str(len(own)), *map(str, counts), str(left), mean])
    return Table(
        title="Runs",
        columns=["framework", "planned", "finished", "not finite", "failed or missing", "seconds"],
        rows=rows,
        note="Seconds: mean of the finished runs. Runs of several jobs share the machine.",
    )


def set_table(outcomes: Outcomes) -> Table | None:
    """Tabulate the drawn sets; None if there is a single set."""
    sets = outcomes.plan.sets
    if not sets[1:]:
        return None
    keys = list(sets[0])
    return Table(
        title="Sets of hyper-parameters",
        columns=["set", *keys],
        rows=[
            [str(number), *(f"{chosen[key]:g}" for key in keys)]
            for number, chosen in enumerate(sets)
        ],
    )


def left_out_table(left_out: Mapping[str, str]) -> Table | None:
    """Tabulate the habits that are not part of the experiment; None if all are."""
    if not left_out:
        return None
    return Table(
        title="Habits that are left out",
        columns=["habit", "reason"],
        rows=[[name, reason] for name, reason in left_out.items()],
        words=["reason"],
    )
