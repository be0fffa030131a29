"""The headline of a report: its verdicts in plain words.

It names the best row and the rows that this one is better than, says whether the frameworks differ,
and gives the numbers that would settle open comparisons. Each sentence reads the judged pairs of
the page, so that sentences and tables cannot disagree.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from poc.shared.analysis.runs.copies import read_distinct_runs
from poc.shared.analysis.runs.groups import Group, by_data, group_runs, match_backends, name_data
from poc.shared.analysis.statistics.differences import Remedy

from .findings import list_names, mean_accuracy
from .pairs import Pair, compare_pairs, find_difference
from .phrases import (
    MAX_NAMES,
    name_rows,
    where,
    write_accuracy,
    write_baseline,
    write_points,
    write_remedy,
)


class Rival(NamedTuple):
    """A row compared with the best one, and the numbers that would settle an open comparison."""

    best: str
    other: str
    accuracy: float
    """Mean test accuracy of the other row."""
    pair: Pair
    remedy: Remedy | None


class Headline(NamedTuple):
    """Sentences, the most important first, and the best row against each other row."""

    sentences: list[str]
    rivals: list[Rival]
    labels: Mapping[str, str] = {}
    """Run -> the name of its row."""


def write_headline(groups: Sequence[Group], pairs: Sequence[Pair]) -> Headline:
    """Write the headline of a page.

    Args:
        groups: The rows of the page.
        pairs: `compare_pairs` of these rows.
    """
    parts = by_data(groups)
    names = name_data([members[0].data for members in parts])
    sentences: list[str] = []
    rivals: list[Rival] = []
    for members in parts:
        ranked = sorted(
            (group for group in members if group.interval),
            # A row without its answers cannot be compared, so it is never ranked as the best.
            key=lambda group: (group.answers_by_seed is not None, mean_accuracy(group)),
            reverse=True,
        )
        if not ranked:
            continue
        found = find_rivals(ranked, pairs)
        lines = describe_rows(members, ranked, found, pairs)
        sentences += (
            [f"On {names[members[0].data]}: {line}" for line in lines] if parts[1:] else lines
        )
        rivals += found
    labels = {run.name: group.label for group in groups for run in group.runs}
    return Headline([*sentences, *describe_adjusting(pairs)], rivals, labels)


def describe_rows(
    members: Sequence[Group],
    ranked: Sequence[Group],
    rivals: Sequence[Rival],
    pairs: Sequence[Pair],
) -> list[str]:
    """Return the sentences about the rows of one data set.

    Args:
        members: The rows in the order of the tables, which is also their order in sentences.
        ranked: The rows that were tested, the best first.
        rivals: The best row against each other row.
        pairs: All pairs of the page.
    """
    labels = [group.label for group in members]
    ordered = sorted(rivals, key=lambda rival: labels.index(rival.other))
    against_constant = describe_baseline([group for group in members if group.interval], pairs)
    if is_pair_of_frameworks(ranked, rivals):
        verdicts = [*describe_two_frameworks(ranked, rivals[0]), *against_constant]
    else:
        verdicts = [
            *describe_best(ranked, ordered),
            *describe_frameworks(ranked, pairs),
            *against_constant,
            *describe_remedies(rivals),
        ]
    return [*verdicts, *describe_seeds(ranked)]


def read_headline(folders: Sequence[Path]) -> Headline:
    """Return the headline of run folders and sweeps; empty if no run is complete."""
    groups = group_runs(read_distinct_runs(folders)[0])
    return write_headline(groups, compare_pairs(groups))


def find_rivals(ranked: Sequence[Group], pairs: Sequence[Pair]) -> list[Rival]:
    """Compare the best row with each other row, from the highest accuracy down."""
    best = ranked[0]
    rivals = []
    for other in ranked[1:]:
        pair = find_pair(pairs, best, other)
        is_open = pair.winner is None and pair.difference is not None
        difference = find_difference(best, other) if is_open else None
        remedy = difference.find_remedy(pair.level) if difference else None
        rivals.append(Rival(best.label, other.label, mean_accuracy(other), pair, remedy))
    return rivals


def find_pair(pairs: Sequence[Pair], first: Group, second: Group) -> Pair:
    """Return the pair of two rows, in either order."""
    names = {first.label, second.label}
    return next(pair for pair in pairs if {pair.first, pair.second} == names)


def describe_best(ranked: Sequence[Group], rivals: Sequence[Rival]) -> Iterator[str]:
    """Name the best row, its interval, and the rows that it is shown to be better than."""
    best = ranked[0]
    accuracy = f"test accuracy {write_accuracy(best)}"
    if not rivals:
        yield f"{best.label}: {accuracy}."
        return
    beaten = [rival.other for rival in rivals if rival.pair.winner == best.label]
    unbeaten = [rival.other for rival in rivals if rival.pair.winner != best.label]
    if not unbeaten:
        yield f"{best.label} is the best: {accuracy}. It is better than {name_rows(beaten)}."
        return
    parts = [f"better than {name_rows(beaten)}"] if beaten else []
    parts.append(f"not shown to be better than {name_rows(unbeaten)}")
    tied = [group.label for group in ranked[1:] if mean_accuracy(group) == mean_accuracy(best)]
    mean = f"shares the highest mean with {name_rows(tied)}" if tied else "has the highest mean"
    yield (
        f"{best.label} {mean}, {accuracy}. It is {', but '.join(parts)}"
        f"{'; the table names each' if max(len(beaten), len(unbeaten)) > MAX_NAMES else ''}."
    )


def is_pair_of_frameworks(ranked: Sequence[Group], rivals: Sequence[Rival]) -> bool:
    """Return whether the rows are only the two frameworks of one method, and were compared.

    A winner other than the best row is left to the general sentences.
    """
    if len(ranked) != 2 or not match_backends(ranked):
        return False
    pair = rivals[0].pair
    return pair.difference is not None and pair.winner in (None, ranked[0].label)


def describe_two_frameworks(ranked: Sequence[Group], rival: Rival) -> Iterator[str]:
    """Name the better framework and the difference, without repeating either."""
    best, other = ranked
    accuracy = f"test accuracy {write_accuracy(best)}"
    if rival.pair.is_of_one_seed and rival.pair.is_far_apart:
        yield f"{best.label} has the highest mean, {accuracy}."
        yield ask_for_seeds(best, rival.pair)
        return
    if rival.pair.winner:
        yield f"{best.label} is the best: {accuracy}."
        yield (
            f"The frameworks differ{where(best)}: {best.backend} is more accurate by "
            f"{write_points(rival.pair)}."
        )
        return
    is_tied = mean_accuracy(other) == mean_accuracy(best)
    mean = f"shares the highest mean with {other.label}" if is_tied else "has the highest mean"
    advice = (
        f"; if that is the true difference, {write_remedy(rival.remedy)} would show it"
        if rival.remedy
        else ""
    )
    yield f"{best.label} {mean}, {accuracy}."
    yield (
        f"The frameworks are not shown to differ{where(best)}: {write_points(rival.pair)}{advice}."
    )


def ask_for_seeds(group: Group, pair: Pair) -> str:
    """Return the difference of two frameworks with one seed each, and the command for more."""
    return (
        f"The frameworks are {write_points(pair)} apart{where(group)}, with one seed each. More "
        "seeds show whether they differ or whether another seed reverses the order: `poc sweep "
        "--grid backend=tf,torch --seeds 3 --output runs/seeds` with the same options."
    )


def describe_frameworks(groups: Sequence[Group], pairs: Sequence[Pair]) -> Iterator[str]:
    """Say whether tf and torch differ in rows that are equal in all else."""
    matched = match_backends(groups)
    known = [(tf, find_pair(pairs, tf, torch)) for tf, torch in matched]
    known = [(tf, pair) for tf, pair in known if pair.difference is not None]
    if not known:
        return
    shown = [(tf, pair) for tf, pair in known if pair.winner]
    for tf, pair in shown:
        leader = "tf" if pair.winner == tf.label else "torch"
        yield (
            f"The frameworks differ{where(tf)}: {leader} is more accurate by {write_points(pair)}."
        )
    unsettled = [item for item in known if item[1].is_of_one_seed and item[1].is_far_apart]
    yield from (ask_for_seeds(tf, pair) for tf, pair in unsettled)
    shown += unsettled
    if len(shown) < len(known):
        rest = [item for item in known if item not in shown]
        tf, widest = max(rest, key=lambda item: abs(item[1].difference or 0.0))
        others = " in the other rows" if shown else ""
        points = write_points(widest)
        size = f"; the largest difference is {points}{where(tf)}" if rest[1:] else f": {points}"
        yield f"The frameworks are not shown to differ{others}{size}."


def describe_baseline(groups: Sequence[Group], pairs: Sequence[Pair]) -> Iterator[str]:
    """Name the rows that are better than a constant answer, not shown to be, or worse."""
    known = [pair for pair in pairs if pair.is_baseline]
    labels = [group.label for group in groups]
    known = sorted(
        (pair for pair in known if pair.first in labels), key=lambda pair: labels.index(pair.first)
    )
    if not known:
        return
    constant = write_baseline(groups[0])
    worse = [pair.first for pair in known if pair.winner == pair.second]
    unclear = [pair.first for pair in known if pair.winner is None]
    if not worse and not unclear:
        yield f"{'Every row' if known[1:] else known[0].first} is better than {constant}."
    if unclear:
        yield f"Not shown to be better than {constant}: {list_names(unclear)}."
    if worse:
        yield f"Worse than {constant}: {list_names(worse)}."


def describe_adjusting(pairs: Sequence[Pair]) -> Iterator[str]:
    """Say that the verdicts are adjusted for the number of comparisons, if there are several."""
    number = sum(pair.p_value is not None for pair in pairs)
    if number > 1:
        yield f"These verdicts are adjusted for the number of comparisons, {number}."


def describe_remedies(rivals: Sequence[Rival]) -> Iterator[str]:
    """Say what would settle the closest open comparison; the table has the others."""
    unsettled = [rival for rival in rivals if rival.remedy is not None]
    for rival in unsettled[:1]:
        yield (
            f"{rival.best} and {rival.other} are {write_points(rival.pair)} apart: if that is "
            f"the true difference, {write_remedy(rival.remedy)} would show it."
        )
    if unsettled[1:]:
        yield "The table shows what would settle each of the others."


def describe_seeds(groups: Sequence[Group]) -> Iterator[str]:
    """State the assumption about seeds that rows of one seed rest on."""
    single = [group for group in groups if group.evidence and group.evidence.num_runs == 1]
    if not single:
        return
    deviations = [
        100 * group.seed_model.seed_deviation(group.place) for group in single if group.seed_model
    ]
    low, high = min(deviations), max(deviations)
    size = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
    if len(single) == len(groups):
        which, how = "There is one seed per row", "It is assumed, not measured,"
    else:
        which = f"There is one seed of {list_names([group.label for group in single])}"
        how = "It is estimated from the other rows"
    yield f"{which}. {how} that another seed moves an accuracy by about {size} points (sd)."
