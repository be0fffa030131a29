"""The findings of an experiment over the habits, in words."""

from collections.abc import Iterator, Sequence

from poc.shared.analysis.statistics.paired import PairedMean
from poc.shared.analysis.statistics.uncertainty import SIGNIFICANCE
from poc.shared.analysis.verdicts.phrases import FRAMEWORKS
from poc.shared.spec.habits.designs import COMMON, NATIVE

from .effects import ALONE, LEVEL, REMOVED, TOGETHER, Count, Effect, compare_far, pick
from .outcomes import NOT_FINITE, Outcomes, Units
from .tables import write_interval
from .targets import TargetRow

UNITS = {True: "sets", False: "seeds"}


def write_sentences(
    outcomes: Outcomes, units: Units, effects: Sequence[Effect], counts: Sequence[Count]
) -> list[str]:
    """Return the sentences of the first screen."""
    habits = outcomes.plan.habits
    return [
        *(describe_end(effects, name) for name in ("all native", "all common")),
        *describe_habits(effects, habits),
        *describe_counts(units, habits, counts),
    ]


def describe_end(effects: Sequence[Effect], end: str) -> str:
    """Describe the gap of one end."""
    gap, size = (pick(effects, end, LEVEL, quantity) for quantity in ("gap", "size"))
    if gap is None or size is None:
        return f"With {end} habits, no unit has all of its runs yet."
    shown = judge_gap(gap)
    return (
        f"With {end} habits, {shown}: TensorFlow minus PyTorch is {gap.mean:+.4f} in the mean "
        f"({write_interval(gap.interval)}), and the mean size of the gap is {size.mean:.4f}."
    )


def judge_gap(gap: PairedMean) -> str:
    """Say if the frameworks are shown to differ."""
    if gap.p_value is None:
        return "one unit shows no difference and excludes none"
    return "the frameworks differ" if gap.p_value < SIGNIFICANCE else "no difference is shown"


def describe_habits(effects: Sequence[Effect], habits: Sequence[str]) -> Iterator[str]:
    """Name the habits whose effect on the gap or on its size is shown."""
    found: dict[str, list[str]] = {}
    for item in effects:
        if item.contrast in (ALONE, REMOVED) and item.quantity in ("gap", "size") and item.is_shown:
            text = f"{item.quantity} {write_signed(item.found)} ({item.contrast})"
            found.setdefault(item.habit, []).append(text)
    named = [f"{name}: {', '.join(texts)}" for name, texts in found.items()]
    if named:
        yield f"Shown to change the gap: {'; '.join(named)}."
    silent = [name for name in habits if name not in found]
    if silent and any(item.contrast == ALONE for item in effects):
        yield f"Not shown to change it: {', '.join(silent)}."


def write_signed(found: PairedMean | None) -> str:
    """Return a mean with its sign."""
    return "-" if found is None else f"{found.mean:+.4f}"


def describe_counts(units: Units, habits: Sequence[str], counts: Sequence[Count]) -> Iterator[str]:
    """Compare how many units are far apart at both ends, for the smallest threshold."""
    threshold = min(item.threshold for item in counts)
    ends = {
        item.arm: item
        for item in counts
        if item.arm in (COMMON, NATIVE) and item.threshold == threshold
    }
    native, common = ends[NATIVE], ends[COMMON]
    test = compare_far(units, habits, threshold)
    word = UNITS[units.are_sets]
    yield (
        f"{native.num_above} of {native.num_units} {word} are more than {threshold:g} apart with "
        f"native habits, {common.num_above} of {common.num_units} with common ones "
        f"(McNemar's test: p = {test.p_value:.2g})."
    )


def describe_targets(rows: Sequence[TargetRow]) -> Iterator[str]:
    """Say for each end if one framework is shown to need fewer epochs to the target."""
    for arm in dict.fromkeys(row.arm for row in rows):
        own = [row for row in rows if row.arm == arm]
        if any(row.found is None for row in own):
            yield f"With {arm} habits, too few runs reach the target for a comparison of epochs."
            continue
        faster = [row for row in own if row.adjusted is not None and row.adjusted < SIGNIFICANCE]
        if faster:
            names = FRAMEWORKS[faster[0].candidate], FRAMEWORKS[faster[0].reference]
            yield f"With {arm} habits, {names[0]} needs fewer epochs to the target than {names[1]}."
        else:
            limit = max(row.found.largest_speedup for row in own if row.found)
            yield (
                f"With {arm} habits, neither framework is shown to need fewer epochs to the "
                f"target; ratios up to {limit:.2f} may stay unseen."
            )


def list_warnings(outcomes: Outcomes, effects: Sequence[Effect]) -> list[str]:
    """Return what a reader must know: missing runs, few units, no share."""
    found = []
    missing = outcomes.without_result
    if missing:
        found.append(
            f"{len(missing)} of {len(outcomes.cells)} runs have no result, the first is "
            f"{missing[0].cell.name}: {missing[0].reason[:200]}"
        )
    broken = sum(item.status == NOT_FINITE for item in outcomes.cells)
    if broken:
        found.append(
            f"{broken} runs stopped because a value was no longer finite. They count with the "
            "accuracy of one answer for all images: the first class, or no label."
        )
    together = next(
        item for item in effects if (item.contrast, item.quantity) == (TOGETHER, "size")
    )
    if not together.is_shown:
        found.append(
            "The habits together are not shown to change the size of the gap, so no habit has a "
            "share of it."
        )
    if together.found is not None and together.found.num_units < 2:
        found.append("A single unit gives no interval. Use more sets, or more seeds.")
    return found
