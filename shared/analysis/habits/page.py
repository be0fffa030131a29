"""The page of an experiment over the habits, and its files."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from poc.shared.analysis.report.documents import Report, render_html, render_markdown
from poc.shared.files.whole import write_bytes
from poc.shared.spec.habits.designs import list_arms

from .effects import QUANTITIES, Count, Effect, compute_effects, count_far
from .outcomes import Outcomes, Units, read_outcomes
from .plan import read_plan
from .sentences import UNITS, describe_targets, list_warnings, write_sentences
from .tables import (
    accuracy_table,
    count_table,
    effect_table,
    left_out_table,
    seconds_table,
    set_table,
    target_table,
)
from .targets import TargetRow, compare_targets
from .waterfall import draw_waterfall

PAGE, MARKDOWN, RUNS, EFFECTS = "index.html", "habits.md", "runs.csv", "effects.csv"


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All that is computed from the outcomes."""

    outcomes: Outcomes
    units: Units
    effects: Sequence[Effect]
    counts: Sequence[Count]
    targets: Sequence[TargetRow]

    @property
    def sentences(self) -> list[str]:
        """Return the findings in words."""
        own = write_sentences(self.outcomes, self.units, self.effects, self.counts)
        return [*own, *describe_targets(self.targets)]


def analyse(folder: Path) -> Analysis:
    """Analyse the runs of an experiment's folder by its plan.

    Raises:
        UsageError: The folder has no plan, or no finished run with test answers.
    """
    return analyse_outcomes(read_outcomes(read_plan(folder), folder))


def analyse_outcomes(outcomes: Outcomes) -> Analysis:
    """Compute the effects, the counts and the comparisons of epochs from the outcomes."""
    plan, units = outcomes.plan, Units(outcomes)
    arms = [(arm.name, arm.native) for arm in list_arms(plan.habits, plan.design)]
    return Analysis(
        outcomes=outcomes,
        units=units,
        effects=compute_effects(units, plan.habits),
        counts=count_far(units, arms, plan.thresholds),
        targets=compare_targets(outcomes),
    )


def write_analysis(analysis: Analysis, folder: Path, command: str) -> list[Path]:
    """Write the page, its Markdown, and both CSV files; return their paths."""
    report = make_report(analysis, command)
    contents = {
        PAGE: render_html(report),
        MARKDOWN: render_markdown(report),
        RUNS: run_frame(analysis.outcomes).to_csv(index=False),
        EFFECTS: effect_frame(analysis.effects).to_csv(index=False),
    }
    for name, text in contents.items():
        write_bytes(folder / name, text.encode())
    return [folder / name for name in contents]


def make_report(analysis: Analysis, command: str) -> Report:
    """Return the content of the page."""
    outcomes, plan = analysis.outcomes, analysis.outcomes.plan
    picture = draw_waterfall(analysis.effects, plan.habits)
    arms = {arm.name: arm.native for arm in list_arms(plan.habits, plan.design)}
    tables = [
        count_table(analysis.counts, UNITS[analysis.units.are_sets]),
        *([target_table(analysis.targets, plan.target)] if plan.target is not None else []),
        *(effect_table(analysis.effects, quantity) for quantity in QUANTITIES),
        accuracy_table(analysis.units, arms),
        left_out_table(plan.left_out),
    ]
    return Report(
        title="The cost of framework habits",
        command=command,
        written=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        facts=list_facts(analysis),
        headline=analysis.sentences,
        findings=list_warnings(outcomes, analysis.effects),
        overview=[picture] if picture else [],
        tables=[table for table in tables if table],
        pictures=[],
        confusions=[],
        appendix=[table for table in (seconds_table(outcomes), set_table(outcomes)) if table],
        method=[f"Plan of {plan.written}, by: {plan.command}", *plan.rules],
    )


def list_facts(analysis: Analysis) -> dict[str, str]:
    """Return the few numbers at the head of the page."""
    plan = analysis.outcomes.plan
    return {
        "habits": str(len(plan.habits)),
        "design": plan.design,
        "sets": str(len(plan.sets)),
        "seeds": str(plan.num_seeds),
        "runs": f"{len(plan.cells):,}",
        "test images": f"{analysis.outcomes.num_images:,}",
    }


def run_frame(outcomes: Outcomes) -> pd.DataFrame:
    """Return one line per planned run, with the values of its set."""
    sets = outcomes.plan.sets
    return pd.DataFrame(
        [
            {
                "cell": item.cell.name,
                "set": item.cell.set_number,
                "seed": item.cell.seed,
                "backend": item.cell.backend,
                "arm": item.cell.arm,
                "native": " ".join(item.cell.native),
                **sets[item.cell.set_number],
                "status": item.status,
                "test_accuracy": item.accuracy,
                "total_seconds": item.seconds,
            }
            for item in outcomes.cells
        ]
    )


def effect_frame(effects: Sequence[Effect]) -> pd.DataFrame:
    """Return one line per contrast and quantity, as unrounded numbers."""
    return pd.DataFrame(
        [
            {
                "habit": item.habit,
                "contrast": item.contrast,
                "quantity": item.quantity,
                "mean": item.found.mean if item.found else None,
                "low": item.found.interval.low if item.found and item.found.interval else None,
                "high": item.found.interval.high if item.found and item.found.interval else None,
                "p_value": item.found.p_value if item.found else None,
                "p_holm": item.adjusted,
                "share": item.share,
                "units": item.found.num_units if item.found else 0,
            }
            for item in effects
        ]
    )
