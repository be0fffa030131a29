"""Limits on size and latency: which rows may be recommended."""

import math
from dataclasses import replace

import pytest

from poc.shared.analysis.study.costs import Cost
from poc.shared.analysis.study.deciding import decide
from poc.shared.analysis.study.limits import (
    NO_LIMITS,
    Limits,
    find_allowed,
    keeps,
    write_milliseconds,
    write_size,
)
from poc.shared.analysis.study.results import SearchRun
from poc.tests.helpers.studies.tables import make_results

ONE_MB = Limits(max_bytes=1e6)
BOTH = Limits(max_bytes=1e6, max_latency_seconds=0.02)


@pytest.mark.parametrize(
    ("limits", "cost", "expected"),
    [
        (NO_LIMITS, Cost(), 0.0),
        (ONE_MB, Cost(weight_bytes=5e5), 0.5),
        # The file counts, if there is one.
        (ONE_MB, Cost(weight_bytes=5e5, file_bytes=2e6), 2.0),
        (BOTH, Cost(weight_bytes=5e5, latency_seconds=0.03), 1.5),
        (BOTH, Cost(weight_bytes=5e5), math.inf),
    ],
)
def test_the_excess_is_that_of_the_worse_cost(limits, cost, expected):
    assert limits.excess(cost) == pytest.approx(expected)


def test_a_row_without_a_network_keeps_every_limit():
    assert keeps(("always the largest class", "none"), {}, BOTH)
    assert not keeps(("net", "tf"), {}, BOTH)


COSTS = {
    ("large", "tf"): Cost(file_bytes=4e6),
    ("large", "torch"): Cost(file_bytes=3e6),
    ("small", "tf"): Cost(file_bytes=1e6),
    ("small", "torch"): Cost(file_bytes=1.1e6),
}
GUESS = ("always the largest class", "none")


def test_rows_over_a_limit_are_not_allowed():
    assert find_allowed([*COSTS, GUESS], COSTS, NO_LIMITS) == {*COSTS, GUESS}
    assert find_allowed([*COSTS, GUESS], COSTS, ONE_MB) == {("small", "tf"), GUESS}


def test_if_no_network_fits_the_nearest_is_allowed_alone():
    assert find_allowed([*COSTS, GUESS], COSTS, Limits(max_bytes=1e5)) == {("small", "tf")}
    assert find_allowed([GUESS], {}, ONE_MB) == {GUESS}


def test_sizes_and_times_in_words():
    assert (write_size(1.2e6), write_size(3.5e5)) == ("1.20 MB", "350.0 kB")
    times = [write_milliseconds(seconds) for seconds in (0.000234, 0.0123, 0.2, 1.2346, 0.0)]
    assert times == ["0.234", "12.3", "200", "1,235", "0.00"]


def test_a_cost_over_a_limit_is_not_written_like_the_limit():
    assert write_size(1_004_000, 1e6) == "1.004 MB"
    assert write_size(1_000_000, 1e6) == "1.00 MB"
    assert write_size(999_999, 1e6) == "999.999 kB"
    assert write_milliseconds(0.02004, 0.02) == "20.04"
    found = decide_within(Limits(max_bytes=1e6), large=1_004_100, small=1_004_000)
    assert "(at most 1.00 MB). The nearest is small in " in found.sentences[0]
    assert ": 1.004 MB, 10.0 ms for one image." in found.sentences[0]


def decide_within(limits, **changes):
    sizes = {"large": 4e6, "small": 5e5, **changes}
    costs = {
        name: Cost(weight_bytes=size, latency_seconds=size * 1e-8) for name, size in sizes.items()
    }
    results = make_results(
        {"large": 0.95, "small": 0.7}, costs, limits=limits, not_trained=("huge",)
    )
    return decide(results)


def test_a_row_over_a_limit_is_not_recommended():
    """Planted: the large one is far better."""
    assert decide_within(NO_LIMITS).recommended.candidate == "large"
    assert decide_within(NO_LIMITS).limits is None
    found = decide_within(ONE_MB)
    assert found.recommended.candidate == "small"
    assert found.limits.is_met
    assert set(found.limits.over) == {("large", "tf"), ("large", "torch")}
    assert found.limits.not_trained == ("huge",)
    assert "large is better, but over a limit." in found.sentences
    # It stays in the table, with what is shown about it.
    assert {claim.better for claim in found.better_than} == {"large"}
    assert {row.candidate for row in found.candidates} == {"large", "small"}


def test_if_all_are_over_the_nearest_is_named():
    found = decide_within(Limits(max_latency_seconds=0.001))
    assert found.recommended.candidate == "small"
    assert not found.limits.is_met
    assert found.sentences[0].startswith("No tested network is shown to keep the limits")


def test_what_is_as_good_and_cheaper_keeps_the_limits_too():
    costs = {
        "a": Cost(weight_bytes=9e5, latency_seconds=0.01),
        "b": Cost(weight_bytes=1e5, latency_seconds=0.05),
    }
    accuracies = {"a": 0.895, "b": 0.89}
    free = decide(make_results(accuracies, costs, num_images=1500, num_seeds=5))
    assert [item.candidate for item in free.equivalent] == ["b"]
    limits = Limits(max_latency_seconds=0.02)
    bound = decide(make_results(accuracies, costs, num_images=1500, num_seeds=5, limits=limits))
    assert bound.recommended.candidate == "a"
    assert bound.equivalent == ()


def test_the_other_framework_is_recommended_if_it_alone_keeps_the_limits():
    results = make_results({"a": 0.9}, limits=Limits(max_latency_seconds=0.02))
    costs = {
        ("a", "tf"): Cost(latency_seconds=0.01),
        ("a", "torch"): Cost(latency_seconds=0.03),
    }
    search = [
        SearchRun(candidate="a", framework="torch", seed=9, validation=results.runs[0].validation)
    ]
    found = decide(replace(results, costs=costs, search=search))
    assert found.recommended.framework == "tf"
