"""Share of right intervals and verdicts of a report, over simulated studies.

    python benchmarks/verdicts.py --repeats 2000    # every table
    python benchmarks/verdicts.py --repeats 200 --table main

A study is a page of four rows, each of S seeds, on the same N test images. The answer of row r with
seed s on image i is right where

    mu_r + b_r z_rs + sqrt(1 - b_r^2) (sqrt(g) u_ri + sqrt(1 - g) e_rsi) > 0

with standard normal z (the seed), u (how easy the image is for the method) and e (the joint effect
of seed and image). u is shared by the rows with a correlation of 0.8, and g = 0.7: two seeds of one
row then agree as often as those of real runs did. The variances add to 1, so the accuracy of the
method is exactly Phi(mu). b sets how far a seed moves the accuracy of the network: by a standard
deviation of `deviation` at an accuracy of 0.8, and of `deviation` sqrt(a (1 - a)) / 0.4 at another
accuracy a. A page draws `deviation` from 0 to 0.02, and each row scatters around it (lognormal,
0.4).

The old rule, for comparison: Wilson's interval and Student's over seeds, added in quadrature; a
pair by one exact McNemar test per seed, Holm's correction and agreement of all seeds; the best row
by intervals that do not overlap; the baseline by the interval.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri, stdtrit

from poc.shared.analysis.statistics.differences import Difference
from poc.shared.analysis.statistics.intervals import combine_p_values, holm
from poc.shared.analysis.statistics.uncertainty import SIGNIFICANCE, SeedModel, weigh_answers
from poc.shared.analysis.verdicts.pairs import constant_difference
from poc.shared.engine.numerics.metrics import Interval, wilson_interval

NUM_ROWS = 4
NUM_SEEDS = (1, 2, 3, 5, 10)
NUM_IMAGES = (65, 200, 1000, 10_000)
ACCURACIES = (0.5, 0.65, 0.8, 0.9, 0.97)
LEAD = 0.05
EASE_SHARE, EASE_CORRELATION = 0.7, 0.8
MAX_DEVIATION, ROW_SCATTER = 0.02, 0.4
Hits = NDArray[np.bool_]


@dataclass
class Verdicts:
    """Verdicts of one rule on one page: intervals of the rows, and the winner of each pair."""

    intervals: list[Interval]
    winners: dict[tuple[int, int], int]
    baseline_winners: list[int] = field(default_factory=list)


def draw_answers(
    random: np.random.Generator,
    accuracies: Sequence[float],
    deviations: Sequence[float],
    num_seeds: int,
    num_images: int,
) -> Hits:
    """Draw the right answers of R rows, S seeds and N images.

    Args:
        random: Generator of the numbers.
        accuracies: (R,) accuracies of the methods.
        deviations: (R,) standard deviations of each accuracy over seeds.
        num_seeds: S.
        num_images: N.

    Returns:
        (R, S, N) bool: true where the answer is right.
    """
    hits = np.empty((len(accuracies), num_seeds, num_images), dtype=np.bool_)
    common = random.standard_normal(num_images, dtype=np.float32)
    for row, (accuracy, deviation) in enumerate(zip(accuracies, deviations, strict=True)):
        middle = float(ndtri(accuracy))
        slope = math.exp(-(middle**2) / 2) / math.sqrt(2 * math.pi)
        share = min(deviation / slope, 0.7)
        own = random.standard_normal(num_images, dtype=np.float32)
        ease = math.sqrt(EASE_CORRELATION) * common + math.sqrt(1 - EASE_CORRELATION) * own
        rest = random.standard_normal((num_seeds, num_images), dtype=np.float32)
        seeds = random.standard_normal((num_seeds, 1), dtype=np.float32)
        within = math.sqrt(EASE_SHARE) * ease + math.sqrt(1 - EASE_SHARE) * rest
        hits[row] = middle + share * seeds + math.sqrt(1 - share**2) * within > 0
    return hits


def judge(hits: Hits, constant: Hits) -> Verdicts:
    """Return the verdicts of a report on right answers.

    Args:
        hits: (R, S, N) bool of the rows.
        constant: (N,) bool of the majority baseline.
    """
    model = SeedModel([weigh_answers(row) for row in hits])
    shares = hits.mean(axis=1)
    pairs = list(combinations(range(len(hits)), 2))
    found = [
        Difference(
            (model.rows[first], model.rows[second]),
            model.of_pair(first, second),
            shares[first] - shares[second],
        )
        for first, second in pairs
    ]
    leads = [constant_difference(model, row, shares[row], constant) for row in range(len(hits))]
    shown = [value < SIGNIFICANCE for value in holm([item.p_value for item in (*found, *leads)])]
    winners = {
        pair: pair[0] if item.value > 0 else pair[1]
        for pair, item, is_shown in zip(pairs, found, shown, strict=False)
        if is_shown
    }
    return Verdicts(
        [model.interval(row) for row in range(len(hits))],
        winners,
        [row for row in range(len(hits)) if shown[len(pairs) + row]],
    )


def judge_by_the_old_rule(hits: Hits, constant: Hits) -> Verdicts:
    """Return the verdicts of reports before the present rule.

    Args:
        hits: (R, S, N) bool of the rows.
        constant: (N,) bool of the majority baseline.
    """
    num_seeds, num_images = hits.shape[1:]
    intervals = [old_interval(row.mean(axis=1), num_images) for row in hits]
    pairs = list(combinations(range(len(hits)), 2))
    first = np.array([(hits[a] & ~hits[b]).sum(axis=1) for a, b in pairs])
    second = np.array([(hits[b] & ~hits[a]).sum(axis=1) for a, b in pairs])
    p_values = np.minimum(2 * bdtr(np.minimum(first, second), first + second, 0.5), 1.0)
    adjusted = holm([combine_p_values(list(values)) for values in p_values])
    winners = {}
    for index, pair in enumerate(pairs):
        shown = p_values[index] < SIGNIFICANCE
        for row, is_ahead in zip(pair, (first > second, second > first), strict=True):
            if adjusted[index] < SIGNIFICANCE and (shown & is_ahead[index]).all():
                winners[pair] = row
    best = max(range(len(hits)), key=lambda row: intervals[row].low)
    others = [interval.high for row, interval in enumerate(intervals) if row != best]
    if num_seeds > 1 and max(others) < intervals[best].low:
        winners |= {pair: best for pair in pairs if best in pair}
    above = [row for row, interval in enumerate(intervals) if interval.low > float(constant.mean())]
    return Verdicts(intervals, winners, above)


def old_interval(accuracies: NDArray[np.float64], num_images: int) -> Interval:
    """Return Wilson's interval and Student's over seeds, (S,) accuracies, in quadrature."""
    mean, num_seeds = float(accuracies.mean()), len(accuracies)
    images = wilson_interval(round(mean * num_images), num_images)
    seeds = 0.0
    if num_seeds > 1:
        spread = float(accuracies.std(ddof=1)) / math.sqrt(num_seeds)
        seeds = float(stdtrit(num_seeds - 1, 0.975)) * spread
    low = mean - math.hypot(max(mean - images.low, 0.0), seeds)
    high = mean + math.hypot(max(images.high - mean, 0.0), seeds)
    return Interval(max(low, 0.0), min(high, 1.0))


Rule = Callable[[Hits, Hits], Verdicts]


@dataclass
class Cell:
    """Counts over the studies of one number of seeds and images, for one rule."""

    covered: list[bool] = field(default_factory=list)
    half_widths: list[float] = field(default_factory=list)
    is_false: list[bool] = field(default_factory=list)
    is_false_beside: list[bool] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)

    @property
    def coverage(self) -> float:
        """Return the share of intervals that contain the accuracy of their method."""
        return float(np.mean(self.covered))

    @property
    def half_width(self) -> float:
        """Return the median half width of the intervals."""
        return float(np.median(self.half_widths))

    @property
    def false_rate(self) -> float:
        """Return the share of pages of four equal rows that call one better than another."""
        return float(np.mean(self.is_false))

    @property
    def false_rate_beside(self) -> float:
        """Return the share of false verdicts on pages of three equal rows and a better one.

        A false verdict tells two of the equal rows apart, or calls the better one worse.
        """
        return float(np.mean(self.is_false_beside))

    @property
    def power(self) -> float:
        """Return the share of pages that find a row that is five points better than another."""
        return float(np.mean(self.found))


def draw_deviations(
    random: np.random.Generator, accuracies: Sequence[float], deviation: float | None
) -> list[float]:
    """Draw the effect of seeds on each row, as standard deviations; `deviation` fixes all."""
    size = random.uniform(0, MAX_DEVIATION) if deviation is None else deviation
    scatter = ROW_SCATTER if deviation is None else 0.0
    return [
        size * math.sqrt(a * (1 - a)) / 0.4 * math.exp(scatter * random.standard_normal())
        for a in accuracies
    ]


def simulate(
    rules: Sequence[Rule],
    num_seeds: int,
    num_images: int,
    repeats: int,
    *,
    deviation: float | None = None,
    seed: int = 0,
) -> list[Cell]:
    """Return a cell per rule, all on the same studies: half equal rows, half with a better one."""
    random = np.random.default_rng([seed, num_seeds, num_images])
    cells = [Cell() for _ in rules]
    for _ in range(repeats):
        for lead in (0.0, LEAD):
            level = random.choice(ACCURACIES[:-1] if lead else ACCURACIES)
            accuracies = [level + lead, *[level] * (NUM_ROWS - 1)]
            deviations = draw_deviations(random, accuracies, deviation)
            hits = draw_answers(random, accuracies, deviations, num_seeds, num_images)
            constant = random.random(num_images) < 0.25
            for cell, rule in zip(cells, rules, strict=True):
                record(cell, rule(hits, constant), accuracies)
    return cells


def record(cell: Cell, verdicts: Verdicts, accuracies: Sequence[float]) -> None:
    """Count the verdicts of one rule on one study."""
    for interval, accuracy in zip(verdicts.intervals, accuracies, strict=True):
        cell.covered.append(interval.low <= accuracy <= interval.high)
        cell.half_widths.append((interval.high - interval.low) / 2)
    is_false = any(
        accuracies[winner] <= min(accuracies[row] for row in pair if row != winner)
        for pair, winner in verdicts.winners.items()
    )
    if accuracies[0] == accuracies[1]:
        cell.is_false.append(is_false)
    else:
        cell.is_false_beside.append(is_false)
        cell.found.append(verdicts.winners.get((0, 1)) == 0)


def simulate_baseline(num_seeds: int, num_images: int, repeats: int, *, seed: int = 0) -> float:
    """Return the share of pages that tell one of four rows from an equally good constant."""
    random = np.random.default_rng([seed, 1, num_seeds, num_images])
    count = 0
    for _ in range(repeats):
        accuracies = [0.65] * (NUM_ROWS + 1)
        deviations = [*draw_deviations(random, accuracies[1:], None), 0.0]
        hits = draw_answers(random, accuracies, deviations, num_seeds, num_images)
        count += bool(judge(hits[:-1], hits[-1, 0]).baseline_winners)
    return count / repeats


def print_main(repeats: int, seed: int) -> None:
    """Print a table of both rules, by seeds and images."""
    both = ("coverage", "false verdicts", "half-width", "power")
    names = (*both[:2], "false next to a better row", *both[2:], *(f"old {n}" for n in both))
    print("| seeds | images | " + " | ".join(names) + " |")
    print("|--:" * 11 + "|")
    for num_seeds in NUM_SEEDS:
        for num_images in NUM_IMAGES:
            rules = (judge, judge_by_the_old_rule)
            new, old = simulate(rules, num_seeds, num_images, repeats, seed=seed)
            print(
                f"| {num_seeds} | {num_images:,} | {new.coverage:.3f} | {new.false_rate:.3f} | "
                f"{new.false_rate_beside:.3f} | {new.half_width:.3f} | {new.power:.2f} | "
                f"{old.coverage:.3f} | {old.false_rate:.3f} | {old.half_width:.3f} | "
                f"{old.power:.2f} |",
                flush=True,
            )


def print_deviations(repeats: int, seed: int) -> None:
    """Print coverage and false verdicts for seeds that move an accuracy less, or more."""
    sizes = (0.0, 0.005, 0.01, 0.02, 0.03)
    print("| seeds | images |" + "".join(f" sd {size} |" for size in sizes))
    print("|--:" * (2 + len(sizes)) + "|")
    for num_seeds in NUM_SEEDS:
        for num_images in NUM_IMAGES:
            cells = [
                simulate((judge,), num_seeds, num_images, repeats, deviation=size, seed=seed)[0]
                for size in sizes
            ]
            values = "".join(f" {cell.coverage:.3f}, {cell.false_rate:.3f} |" for cell in cells)
            print(f"| {num_seeds} | {num_images:,} |{values}", flush=True)


def print_baseline(repeats: int, seed: int) -> None:
    """Print false verdicts on rows that are as good as a constant answer."""
    print("| images |" + "".join(f" {count} seeds |" for count in NUM_SEEDS))
    print("|--:" * (1 + len(NUM_SEEDS)) + "|")
    for num_images in NUM_IMAGES:
        rates = [simulate_baseline(count, num_images, repeats, seed=seed) for count in NUM_SEEDS]
        print(f"| {num_images:,} |" + "".join(f" {rate:.3f} |" for rate in rates), flush=True)


TABLES = {"main": print_main, "deviations": print_deviations, "baseline": print_baseline}


def main() -> None:
    """Print the chosen tables, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", choices=TABLES, action="append")
    arguments = parser.parse_args()
    for name in arguments.table or TABLES:
        started = time.perf_counter()
        print(f"\n{name}, {arguments.repeats} repeats, seed {arguments.seed}\n")
        TABLES[name](arguments.repeats, arguments.seed)
        print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
