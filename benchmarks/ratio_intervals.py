"""How often the intervals of a ratio leave out the true one, by rule and number of rounds.

    python benchmarks/ratio_intervals.py

Logs of ratios are drawn from laws whose mean is 0: a normal one, two with heavy tails, and one in
which a tenth of the rounds is slow. A line has the share of intervals without 0, in percent, and
their median width, of the bootstrap of former bench files and of Student's t. 5 % are meant.
"""

import argparse
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from poc.shared.analysis.timing.intervals import Interval, bootstrap_interval, student_interval

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
LAWS: Mapping[str, Draw] = {
    "normal": lambda generator, count: generator.normal(size=count),
    "Laplace": lambda generator, count: generator.laplace(size=count),
    "Student's t, 3 degrees": lambda generator, count: generator.standard_t(3, size=count),
    "normal, one in ten 5 later": lambda generator, count: (
        generator.normal(size=count) + 5 * (generator.random(count) < 0.1) - 0.5
    ),
}
COUNTS = (2, 3, 4, 5, 6, 8, 10, 20)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    num_draws = parser.parse_args().draws
    print("| law of a round | rounds | bootstrap, % | width | Student, % | width |")
    print("|---|---|---|---|---|---|")
    for name, law in LAWS.items():
        for count in COUNTS:
            generator = np.random.default_rng(count)
            draws = [law(generator, count) for _ in range(num_draws)]
            cells = [describe(draws, rule) for rule in (bootstrap_interval, student_interval)]
            print(f"| {name} | {count} | {' | '.join(cells)} |", flush=True)


def describe(draws: list[NDArray[np.float64]], rule: Interval) -> str:
    """Return the share of intervals without 0, in percent, and the median width."""
    bounds = np.array([rule(values) for values in draws])
    is_wrong = (bounds[:, 0] > 0) | (bounds[:, 1] < 0)
    return f"{100 * is_wrong.mean():.1f} | {np.median(bounds[:, 1] - bounds[:, 0]):.2f}"


if __name__ == "__main__":
    main()
