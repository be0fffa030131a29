"""Intervals of ratios: how often they leave out the truth, and the rule of former files."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from poc.shared.actions.bench import verify_bench
from poc.shared.analysis.timing.intervals import (
    INTERVALS,
    bootstrap_interval,
    mean_ratio,
    student_interval,
)
from poc.shared.analysis.timing.report import FORMER_INTERVALS, findings
from poc.shared.analysis.timing.samples import derive
from poc.shared.engine.timing.bench_file import FORMAT
from poc.tests.shared.engine.timing.test_rounds import make_bench, make_process

STORED = Path(__file__).parents[4] / "docs" / "results" / "bench"


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_equal_sides_are_told_apart_in_five_percent(count):
    """400 draws; 7 % is 5 % and two standard errors of the share."""
    draws = np.random.default_rng(count).normal(size=(400, count))
    bounds = [np.log(list(bounds_of(values))) for values in draws]
    assert np.mean([not low <= 0 <= high for low, high in bounds]) <= 0.07


def bounds_of(logs):
    found = mean_ratio(np.exp(logs), INTERVALS[FORMAT])
    return found["low"], found["high"]


@pytest.mark.parametrize(
    ("logs", "half"),
    # Quantiles of Student's t at 97.5 % from a table: 12.706, 4.303 and 2.776.
    [
        ([-0.1, 0.1], 12.706 * math.sqrt(0.02) / math.sqrt(2)),
        ([-0.1, 0.0, 0.1], 4.303 * 0.1 / math.sqrt(3)),
        ([-0.2, -0.1, 0.0, 0.1, 0.2], 2.776 * math.sqrt(0.025) / math.sqrt(5)),
    ],
)
def test_it_is_students_interval_by_hand(logs, half):
    expected = {"ratio": 1.5, "low": 1.5 * math.exp(-half), "high": 1.5 * math.exp(half)}
    found = mean_ratio(1.5 * np.exp(logs), student_interval)
    # The table's quantiles are rounded at the third digit.
    assert found == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("interval", [student_interval, bootstrap_interval])
def test_one_round_shows_nothing(interval):
    assert interval(np.array([0.3])) == (-math.inf, math.inf)


def test_two_rounds_that_agree_in_sign_alone_show_no_difference():
    """Two ratios, 1.01 and 1.10: no bootstrap of two values reaches beyond them."""
    steps = [(0.0101, 0.0100), (0.0110, 0.0100)]
    bench = make_bench(
        [
            make_process(turn, side, [seconds] * 3)
            for turn, pair in enumerate(steps)
            for side, seconds in enumerate(pair)
        ]
    )
    former = {**bench, "format": "poc bench 3"}
    assert [derive(file)["ratios"][0]["is_shown"] for file in (bench, former)] == [False, True]


def test_stored_files_of_the_former_format_keep_their_rule_and_are_noted():
    path = STORED / "2026-11-22-l2t_ww.json"
    former = verify_bench(path)
    assert former["format"] == "poc bench 3"
    assert FORMER_INTERVALS in findings(former)
    today = {**json.loads(path.read_text()), "format": FORMAT}
    today["derived"] = derive(today)
    assert FORMER_INTERVALS not in findings(today)
    # The verdict of which docs/results/2026-11-22-bench.md has a note: (0.719, 0.970) before.
    epoch = next(ratio for ratio in today["derived"]["ratios"] if ratio["row"] == "epoch")
    assert (epoch["low"], epoch["high"]) == pytest.approx((0.668, 1.002), abs=5e-4)
    assert not epoch["is_shown"]
