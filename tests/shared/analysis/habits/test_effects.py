"""Effects, shares and counts of an experiment whose accuracies are known."""

import numpy as np
import pytest

from poc.shared.analysis.habits.effects import (
    ALL,
    ALONE,
    LEVEL,
    REMOVED,
    TOGETHER,
    compare_far,
    compute_effects,
    count_far,
    pick,
)
from poc.shared.analysis.habits.outcomes import Units
from poc.shared.analysis.statistics.intervals import holm
from poc.shared.spec.habits.designs import list_arms
from poc.tests.helpers.habits.outcomes import HABITS, additive, make_outcomes, make_plan

# The mean of the odd part over the sets 0 to 3: 0.01 * (-1 + 0 + 1 + 2) / 4.
ODD = 0.005


def compute(plan=None, **changes):
    plan = plan or make_plan()
    units = Units(make_outcomes(plan, changes.pop("accuracy", additive), **changes))
    return units, compute_effects(units, plan.habits)


def test_effects_by_hand():
    _, effects = compute()
    expected = {
        ("optimizer", ALONE): -0.3 - ODD,
        ("optimizer", REMOVED): -0.3 - ODD - 0.04,
        ("batch_norm", ALONE): -0.06,
        ("batch_norm", REMOVED): -0.06 - 0.04,
        ("padding", ALONE): 0.0,
        ("padding", REMOVED): 0.0,
        (ALL, TOGETHER): -0.3 - ODD - 0.06 - 0.04,
    }
    for (habit, contrast), value in expected.items():
        for quantity, sign in (("gap", 1), ("tf", 1), ("size", -1), ("torch", 0)):
            found = pick(effects, habit, contrast, quantity)
            assert found.mean == pytest.approx(sign * value, abs=1e-12), (habit, contrast, quantity)
            assert found.num_units == 4
    assert pick(effects, "all common", LEVEL, "gap").mean == 0
    assert pick(effects, "all native", LEVEL, "gap").mean == pytest.approx(-0.405)


def test_holm_is_over_the_contrasts_of_a_quantity():
    _, effects = compute()
    own = [item for item in effects if item.quantity == "gap" and item.contrast != LEVEL]
    assert len(own) == 7
    assert [item.adjusted for item in own] == holm([item.found.p_value for item in own])
    shown = {(item.habit, item.contrast) for item in own if item.is_shown}
    assert ("optimizer", ALONE) in shown
    assert not any(habit == "padding" for habit, _ in shown)


def test_shares_by_hand():
    _, effects = compute()
    shares = {
        (item.habit, item.contrast): item.share for item in effects if item.quantity == "size"
    }
    assert shares["optimizer", ALONE] == pytest.approx(0.305 / 0.405)
    assert shares["optimizer", REMOVED] == pytest.approx(0.345 / 0.405)
    assert shares["padding", ALONE] == pytest.approx(0.0, abs=1e-12)
    assert shares[ALL, TOGETHER] == 1.0
    assert all(item.share is None for item in effects if item.quantity != "size")


def test_no_share_of_nothing():
    """Equal accuracies: there is no effect that a habit could have a share of."""
    _, effects = compute(accuracy=lambda cell: 0.7)
    assert all(item.share is None for item in effects)
    assert not any(item.is_shown for item in effects if item.contrast != LEVEL)


def test_a_unit_without_a_run_is_left_out_of_its_contrasts_alone():
    _, effects = compute(missing=["set=1,habits=padding,backend=torch,seed=0"])
    assert pick(effects, "padding", ALONE, "gap").num_units == 3
    assert pick(effects, "padding", ALONE, "tf").num_units == 4
    assert pick(effects, "optimizer", ALONE, "gap").num_units == 4


def test_seeds_are_units_of_a_single_set_and_averaged_in_several():
    one = make_plan(num_sets=1, num_seeds=5)
    units, effects = compute(one)
    assert (units.are_sets, units.names) == (False, [0, 1, 2, 3, 4])
    assert pick(effects, "optimizer", ALONE, "gap").num_units == 5
    several = make_plan(num_sets=3, num_seeds=2)
    units, effects = compute(several, accuracy=lambda cell: 0.5 + 0.1 * cell.seed)
    assert units.accuracy(frozenset(), "tf") == pytest.approx(np.full(3, 0.55))


def test_a_small_design_has_fewer_contrasts():
    _, effects = compute(make_plan(design="ends"))
    assert {item.contrast for item in effects} == {LEVEL, TOGETHER}
    _, effects = compute(make_plan(design="single"))
    assert {item.contrast for item in effects} == {LEVEL, TOGETHER, ALONE}


def test_counts_by_hand():
    """Gaps of all native: 0.39, 0.40, 0.41 and 0.42."""
    plan = make_plan()
    units, _ = compute(plan)
    arms = [(arm.name, arm.native) for arm in list_arms(HABITS, "full")]
    counts = {
        (item.arm, item.threshold): item for item in count_far(units, arms, (0.05, 0.405, 0.5))
    }
    assert counts["native", 0.05].num_above == 4
    assert counts["native", 0.405].num_above == 2
    assert counts["native", 0.5].num_above == 0
    assert counts["common", 0.05].num_above == 0
    assert counts["native", 0.05].largest == pytest.approx(0.42)
    # Wilson's interval of 4 of 4, by its formula: 1 / (1 + z^2 / n) to 1.
    assert counts["native", 0.05].interval.low == pytest.approx(1 / (1 + 1.959964**2 / 4), rel=1e-5)
    # Four sets, all of them far apart with native habits alone: 2 / 2^4.
    assert compare_far(units, HABITS, 0.05).p_value == pytest.approx(0.125)
