"""The time of a study over several calls."""

from poc.shared.actions.study.clock import Clock
from poc.tests.helpers.studies.simulated_cells import SimulatedTime


def test_decisions_see_the_last_tick_alone():
    time = SimulatedTime()
    clock = Clock(100, read=time.read)
    time.seconds = 7.0
    assert (clock.now, clock.used, clock.left) == (0.0, 7.0, 94.0)
    assert clock.tick() == 7.0
    assert (clock.now, clock.left, clock.all_left) == (7.0, 87.0, 93.0)


def test_at_most_two_minutes_are_kept_for_the_files():
    assert Clock(36_000).left == 36_000 - 120


def test_a_second_call_counts_on_from_the_recorded_tick():
    """30 s were recorded; this call needed 2 s to begin. A cell takes 5 s, 3 of them for an import
    that an earlier call has counted.
    """
    time = SimulatedTime()
    time.seconds = 1000.0
    clock = Clock(100, read=time.read)
    time.seconds = 1002.0
    clock.replay(30.0)
    clock.start()
    assert clock.used == 30.0
    time.seconds = 1007.0
    clock.leave_out(3.0)
    assert clock.tick() == 32.0


def test_the_import_before_the_clock_is_counted():
    time = SimulatedTime()
    time.seconds = 50.0
    assert Clock(100, began=48.5, read=time.read).used == 1.5
