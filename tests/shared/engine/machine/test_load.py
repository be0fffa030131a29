"""How much of a machine others use: by hand, and beside a process that is really busy."""

import os
import signal
import subprocess
import sys
import time

import pytest

from poc.shared.analysis.runs.load import load_notes
from poc.shared.engine.machine import load as machine_load
from poc.shared.engine.machine.load import (
    MIN_SECONDS,
    THREADS,
    LoadMeter,
    busy_seconds,
    companions,
    count_as_own,
    describe_neighbours,
    living_children,
    other_share,
    watched_share,
)

SPIN = [sys.executable, "-c", "print('on', flush=True)\nwhile True: pass"]


def test_the_share_of_others_leaves_this_process_out():
    others = other_share((100.0, 10.0), (104.0, 11.0), 2.0)
    assert others == pytest.approx(3.0 / (2.0 * os.cpu_count()))
    assert other_share(None, (1.0, 1.0), 2.0) is None


def test_the_machine_is_busy_where_it_is_neither_idle_nor_waits_for_a_disk(tmp_path, monkeypatch):
    """User, nice, system, idle, iowait, irq, softirq, steal; guests are in user already."""
    stat = tmp_path / "stat"
    monkeypatch.setattr(
        machine_load, "Path", lambda text: stat if text == "/proc/stat" else tmp_path
    )
    assert busy_seconds() is None
    stat.write_text("cpu  100 10 20 500 30 5 6 7 90 9\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    busy, own = busy_seconds()
    assert busy == pytest.approx((100 + 10 + 20 + 5 + 6 + 7) / os.sysconf("SC_CLK_TCK"))
    assert own >= time.process_time() / 2 > 0


@pytest.fixture
def spinning():
    """A child that is busy."""
    with subprocess.Popen(SPIN, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        yield child
        child.kill()


def test_a_busy_child_is_no_other_program(spinning):
    before, since = busy_seconds(), time.monotonic()
    time.sleep(0.6)
    after, seconds = busy_seconds(), time.monotonic() - since
    spent = after[1] - before[1]
    # It had at least a tenth of a processor, also on a loaded machine, and no more than one.
    assert 0.06 <= spent <= seconds + 0.1
    assert living_children()[spinning.pid] >= spent - 0.05


def test_a_companion_counts_as_own_also_when_it_has_ended(monkeypatch):
    """Another rank of the run, which this process has not started."""
    monkeypatch.setattr(machine_load, "COMPANIONS", {})
    start = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", start, sys.executable, "-c", "while True: pass"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as starter:
        number = int(starter.stdout.readline())
    try:
        # Its parent has ended, so it is below this process no more.
        assert number not in living_children()
        count_as_own([number, os.getpid()])
        # Until it has had its turn, which may take long on a loaded machine.
        deadline = time.monotonic() + 60
        while (spent := companions()) < 0.1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert busy_seconds()[1] >= spent + time.process_time() / 2
    finally:
        os.kill(number, signal.SIGKILL)
    time.sleep(0.1)
    assert companions() >= spent
    assert list(machine_load.COMPANIONS) == [number]


def test_a_grandchild_is_found():
    nested = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"
    # Workers of other tests may live beside these.
    before = set(living_children())
    with subprocess.Popen(
        [sys.executable, "-c", nested, *SPIN[1:]], stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        new = set(living_children()) - before
        assert child.pid in new
        assert len(new) == 2
        for number in new - {child.pid}:
            os.kill(number, signal.SIGKILL)


def test_a_run_adds_up_over_its_processes(monkeypatch):
    """Two spans of 1 and 3 s, in which others used 1 and 2 processor seconds."""
    now, busy = iter([0.0, 1.0, 10.0, 13.0]), iter([5.0, 7.0, 100.0, 104.0])
    own = iter([1.0, 2.0, 50.0, 52.0])
    monkeypatch.setattr(machine_load.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(machine_load, "busy_seconds", lambda: (next(busy), next(own)))
    monkeypatch.setattr(machine_load.os, "cpu_count", lambda: 2)
    seconds = {"train": 9.0}
    LoadMeter().add_to(seconds)
    assert watched_share(seconds) == pytest.approx(1 / (1 * 2))
    LoadMeter().add_to(seconds)
    assert seconds == {"train": 9.0, "watched": 4.0, "others": 3.0}
    assert watched_share(seconds) == pytest.approx(3 / (4 * 2))


def test_what_is_not_known_is_not_said(monkeypatch):
    assert watched_share({}) is None
    assert watched_share({"watched": MIN_SECONDS / 2, "others": 1.0}) is None
    monkeypatch.setattr(machine_load, "busy_seconds", lambda: None)
    seconds = {}
    LoadMeter().add_to(seconds)
    assert seconds == {}


ROWS = [
    {"backend": "tf", "cell": "a", "other_processor_share": 0.31},
    {"backend": "torch", "cell": "b", "other_processor_share": 0.02},
    {"backend": "torch", "cell": "c", "other_processor_share": None},
    {"backend": "torch", "cell": "d"},
]


def test_times_of_a_loaded_machine_say_so():
    (note,) = load_notes(ROWS)
    assert note == (
        "Other programs used up to 31 % of the machine's processors in 1 of 2 runs "
        "(tf 31 %, torch 2 %): these times, and ratios of them, are not to be trusted."
    )
    assert load_notes(ROWS[1:]) == []
    assert load_notes([]) == []


@pytest.mark.parametrize(
    ("backend", "others", "threads", "words"),
    [
        # In a tenth of a second: .04 s are less than half a processor, .06 s and .24 s more.
        ("torch", 0.04, None, ""),
        ("torch", 0.06, None, "about 1 of 4 processors busy"),
        ("torch", 0.24, None, "OMP_NUM_THREADS=2 before"),
        ("tf", 0.39, None, "TF_NUM_INTRAOP_THREADS=1 before"),
        # The user has said it.
        ("torch", 0.39, "OMP_NUM_THREADS", ""),
        ("tf", 0.39, "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS=1 before"),
        ("torch", None, None, ""),
    ],
)
def test_busy_neighbours_are_told(backend, others, threads, words, monkeypatch):
    for name in THREADS.values():
        monkeypatch.delenv(name, raising=False)
    if threads:
        monkeypatch.setenv(threads, "4")
    readings = [None, None] if others is None else [(10.0, 1.0), (10.01 + others, 1.01)]
    left = iter(readings)
    monkeypatch.setattr(machine_load, "busy_seconds", lambda: next(left))
    monkeypatch.setattr(machine_load.os, "cpu_count", lambda: 4)
    found = describe_neighbours(backend)
    assert words in found
    assert bool(found) == bool(words)
