"""The decision of a study from its tables: a pure function."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.statistics.uncertainty import (
    SIGNIFICANCE,
    SeedModel,
    weigh_answers,
    widen,
)
from poc.shared.engine.numerics.metrics import Z_95, Interval

from .comparisons import Comparison, compare
from .costs import Cost
from .decision import (
    CandidateRow,
    Claim,
    Decision,
    Equivalent,
    FrameworkVerdict,
    LearningCurve,
    LimitsVerdict,
    MeasuredCost,
    OpenQuestion,
    Recommended,
)
from .learning_curve import measure_curve, measure_gain
from .limits import Key, keeps
from .pareto import Offer, pareto_front
from .results import Results
from .rows import Row, Table, tabulate
from .selection import Choice, Selector, judge_choice
from .sentences import write_sentences

COSTS = ("weight_bytes", "latency_seconds", "training_seconds")
# A candidate costs less if it saves at least a fifth of one of these.
SAVING = 0.8


def decide(results: Results) -> Decision:
    """Make the decision."""
    table = tabulate(results)
    selector = Selector(results, table.candidates)
    choice = selector.choose()
    answers = judge_choice(results, table, selector, choice)
    comparisons = compare(table, choice.candidate, is_folds=results.is_folds)
    rows = list(list_rows(table, results))
    decision = Decision(
        recommended=Recommended(
            candidate=choice.candidate,
            framework=choice.framework,
            validation_accuracy=choice.validation_accuracy,
            runs=tuple(
                run.folder
                for run in results.runs
                if (run.candidate, run.framework) == (choice.candidate, choice.framework)
            ),
        ),
        expected_accuracy=float(answers.mean()),
        interval=expect(table, choice, answers),
        num_test_images=len(table.ids),
        num_test_groups=None if table.groups is None else int(table.groups.max()) + 1,
        is_folds=results.is_folds,
        equivalent=tuple(find_equivalent(comparisons, choice, results)),
        better_than=tuple(list_claims(comparisons)),
        frameworks=tuple(judge_frameworks(comparisons)),
        cost=cost_of(results, (choice.candidate, choice.framework)),
        candidates=tuple(rows),
        pareto={name: draw_front(rows, name) for name in COSTS},
        learning_curve=judge_learning(results, table),
        open_questions=tuple(list_open(comparisons, choice.candidate)),
        limits=judge_limits(results, table, (choice.candidate, choice.framework)),
    )
    sentences = write_sentences(decision, results.smallest_difference)
    return decision.model_copy(update={"sentences": tuple(sentences)})


def expect(table: Table, choice: Choice, answers: NDArray[np.float64]) -> Interval:
    """Return the 95 % interval of the recommended accuracy, over images and seeds.

    Args:
        table: All rows; the other ones help to estimate the effect of seeds.
        choice: The recommended row.
        answers: (S, N) answers of what is chosen.
    """
    row = table.rows[choice.candidate, choice.framework]
    evidence = weigh_answers(answers, table.groups)
    if row.is_deterministic:
        return widen(evidence.mean, Z_95**2 * evidence.design_effect / evidence.num_images)
    others = table.others(choice.candidate, choice.framework)
    return SeedModel([evidence, *others], table.prior).interval(0)


def list_rows(table: Table, results: Results) -> Iterator[CandidateRow]:
    """Yield every row with its accuracy and cost."""
    for (candidate, framework), row in table.rows.items():
        choice = Choice(candidate, framework, 0.0)
        yield CandidateRow(
            candidate=candidate,
            framework=framework,
            accuracy=row.accuracy,
            interval=expect(table, choice, row.answers),
            cost=cost_of(results, (candidate, framework)),
        )


def cost_of(results: Results, key: tuple[str, str]) -> MeasuredCost:
    """Return the cost of a row; nothing but nulls if it was not measured."""
    return MeasuredCost(**asdict(results.costs.get(key, Cost())))


def list_claims(comparisons: Sequence[Comparison]) -> Iterator[Claim]:
    """Yield the candidates that are shown to be better than others."""
    for item in comparisons:
        if not item.is_shown or item.first.candidate == item.second.candidate:
            continue
        rows: tuple[Row, Row] = (item.first, item.second)
        difference, interval = orient(item, is_first=item.difference > 0)
        better, worse = rows if item.difference > 0 else rows[::-1]
        yield Claim(
            better=better.candidate,
            worse=worse.candidate,
            difference=difference,
            interval=interval,
            p_value=item.p_value,
        )


def orient(item: Comparison, *, is_first: bool) -> tuple[float, tuple[float, float]]:
    """Return difference and interval as seen from the first row, or from the second."""
    if is_first:
        return item.difference, (item.low, item.high)
    return -item.difference, (-item.high, -item.low)


def with_recommended(
    comparisons: Sequence[Comparison], candidate: str
) -> Iterator[tuple[Row, Comparison, float, tuple[float, float]]]:
    """Yield each other row with difference and interval from the recommended candidate's side."""
    for item in comparisons:
        names = (item.first.candidate, item.second.candidate)
        if candidate not in names or names[0] == names[1]:
            continue
        is_first = names[0] == candidate
        yield (item.second if is_first else item.first), item, *orient(item, is_first=is_first)


def find_equivalent(
    comparisons: Sequence[Comparison], choice: Choice, results: Results
) -> list[Equivalent]:
    """Find the candidates that are as good within noise and cost less, the smallest first."""
    own = results.costs.get((choice.candidate, choice.framework), Cost())
    margin = results.smallest_difference
    found = []
    for row, item, difference, interval in with_recommended(comparisons, choice.candidate):
        if item.is_shown or difference > margin:
            continue
        framework = pick_framework(row.candidate, choice.framework, results)
        if not keeps((row.candidate, framework), results.costs, results.limits):
            continue
        cost = results.costs.get((row.candidate, framework), Cost())
        ratios = [ratio(getattr(cost, name), getattr(own, name)) for name in COSTS]
        if not any(value is not None and value <= SAVING for value in ratios[:2]):
            continue
        found.append(
            Equivalent(
                candidate=row.candidate,
                framework=framework,
                difference=difference,
                interval=interval,
                is_within_margin=-margin <= interval[0] and interval[1] <= margin,
                size_ratio=ratios[0],
                latency_ratio=ratios[1],
                training_ratio=ratios[2],
            )
        )
    return sorted(found, key=lambda item: (item.size_ratio or 1.0, item.latency_ratio or 1.0))


def pick_framework(candidate: str, framework: str, results: Results) -> str:
    """Return the recommended framework if the candidate ran in it, or else its own."""
    own = sorted({run.framework for run in results.runs if run.candidate == candidate})
    return framework if framework in own else own[0]


def ratio(value: float | None, base: float | None) -> float | None:
    """Return `value` over `base`; None if one of them is unknown or nothing."""
    return None if value is None or not base else value / base


def judge_frameworks(comparisons: Sequence[Comparison]) -> Iterator[FrameworkVerdict]:
    """Yield the verdict on the frameworks of each candidate that ran in both."""
    for item in comparisons:
        if item.first.candidate != item.second.candidate:
            continue
        leader = item.first if item.difference > 0 else item.second
        yield FrameworkVerdict(
            candidate=item.first.candidate,
            difference=item.difference,
            interval=(item.low, item.high),
            p_value=item.p_value,
            better=("tf" if leader.framework == "tf" else "torch") if item.is_shown else None,
        )


def draw_front(rows: Sequence[CandidateRow], cost: str) -> tuple[tuple[str, str], ...]:
    """Return (candidate, framework) of the rows on the Pareto front of one cost."""
    offers = [
        Offer(str(place), row.accuracy, value)
        for place, row in enumerate(rows)
        if (value := getattr(row.cost, cost)) is not None
    ]
    front = [rows[int(offer.name)] for offer in pareto_front(offers)]
    return tuple((row.candidate, row.framework) for row in front)


def judge_learning(results: Results, table: Table) -> LearningCurve | None:
    """Return the learning curve; None without one."""
    gain = measure_gain(results.learning, table.groups, table.ids)
    if gain is None:
        return None
    points = measure_curve(results.learning, table.groups, table.ids)
    return LearningCurve(
        points=tuple(tuple(point) for point in points),
        gain=gain.difference,
        interval=(gain.low, gain.high),
        helps=gain.is_shown,
    )


def judge_limits(results: Results, table: Table, chosen: Key) -> LimitsVerdict | None:
    """Return what is over the user's limits; None without limits."""
    limits = results.limits
    if not limits.is_any:
        return None
    return LimitsVerdict(
        max_bytes=limits.max_bytes,
        max_latency_seconds=limits.max_latency_seconds,
        is_met=keeps(chosen, results.costs, limits),
        over=tuple(key for key in table.rows if not keeps(key, results.costs, limits)),
        not_trained=tuple(results.not_trained),
    )


def list_open(comparisons: Sequence[Comparison], candidate: str) -> list[OpenQuestion]:
    """List the candidates that are not told apart from the recommended one, the closest first."""
    found = []
    for row, item, difference, interval in with_recommended(comparisons, candidate):
        if item.p_value < SIGNIFICANCE:
            continue
        remedy = item.found.find_remedy(item.level)
        found.append(
            OpenQuestion(
                first=candidate,
                second=row.candidate,
                difference=difference,
                interval=interval,
                more_images=remedy.images,
                more_seeds=remedy.seeds,
                both=remedy.both,
            )
        )
    return sorted(found, key=lambda item: abs(item.difference))
