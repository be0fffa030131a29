"""Long work without a terminal: what is said, when, and that it is not said too often."""

import io
import json
import time

import pytest

from poc.shared.engine.console import heartbeat
from poc.shared.engine.console.heartbeat import Heartbeat, write_seconds
from poc.shared.engine.console.progress import SweepProgress, TrainingProgress, WorkProgress
from poc.shared.engine.console.work_count import WorkCount

ROW = {"cell": "k=1", "status": "finished", "test_accuracy": 0.5, "total_seconds": 3.0}


@pytest.fixture
def quiet():
    """A heartbeat whose clock is told to it."""
    return Heartbeat(lambda line: None)


def test_work_of_known_size_is_told_with_what_is_left(quiet):
    quiet.note("features", 0, 120, now=100.0)
    assert quiet.look(101.9) == ""
    quiet.note("features", 30, 120, now=110.0)
    # 30 in 10 s: the other 90 take 30 s.
    assert quiet.look(110.0) == "features: 30 of 120, about 30 s left"
    quiet.note("features", 120, 120, now=140.0)
    # What is done is not worth a line, however long the next thing takes to begin.
    assert quiet.look(1e6) == ""


def test_each_silence_is_twice_as_long_as_the_last(quiet):
    quiet.note("tests", 0, 0, now=0.0)
    said = [second for second in range(200) if quiet.look(float(second))]
    assert said == [2, 6, 14, 30, 62, 122, 182]


def test_who_has_other_lines_waits_longer():
    patient = Heartbeat(lambda line: None, 5.0)
    patient.note("tests", 0, 0, now=0.0)
    assert [second for second in range(100) if patient.look(float(second))] == [10, 30, 70]


def test_other_work_is_timed_anew(quiet):
    quiet.note("first", 1, 10, now=0.0)
    assert quiet.look(50.0) == "first: 1 of 10, for 50 s so far"
    quiet.note("second", 4, 10, now=60.0)
    assert quiet.look(61.0) == ""
    quiet.note("second", 6, 10, now=62.0)
    assert quiet.look(62.0) == "second: 6 of 10, about 4 s left"
    # The same work once more: it began again, and has been told of before.
    quiet.note("second", 0, 10, now=70.0)
    assert quiet.look(73.0) == ""
    assert quiet.look(74.0) == "second: 0 of 10, for 4 s so far"


def test_work_of_unknown_size_is_told_with_its_time(quiet):
    quiet.note("starting tf", now=5.0)
    assert quiet.look(8.0) == "starting tf, for 3 s so far"


def test_nothing_is_said_of_nothing_or_right_after_a_line(quiet):
    assert quiet.look(1e9) == ""
    quiet.note("work", now=time.monotonic() - 100)
    quiet.spoke()
    assert quiet.look(time.monotonic()) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (9e3, "2.5 h")]
)  # fmt: skip
def test_seconds_are_written_in_a_unit_that_fits(seconds, text):
    assert write_seconds(seconds) == text


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(heartbeat, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN_LOOKS", 0.01)


def wait_for(capsys, words):
    text, deadline = "", time.monotonic() + 10
    while words not in text and time.monotonic() < deadline:
        time.sleep(0.01)
        output = capsys.readouterr()
        assert output.out == ""
        text += output.err
    assert words in text
    return text


def test_lines_come_by_themselves_on_standard_error(impatient, capsys):
    with WorkProgress("export") as progress:
        progress.update({"event": "work", "text": "writing onnx"})
        text = wait_for(capsys, "export: writing onnx, for 0 s so far\n")
    assert "\x1b" not in text


def test_steps_and_kept_values_of_a_run_are_told(impatient, capsys):
    step = {"event": "step", "step": 3, "num_steps": 9, "images_per_second": 5.0}
    with TrainingProgress("torch") as progress:
        progress.update({"event": "work", "text": "features", "done": 2, "total": 8})
        wait_for(capsys, "torch: features: 2 of 8")
        progress.update(step)
        wait_for(capsys, "torch: steps: 3 of 9")


def test_a_sweep_tells_where_its_cell_stands_and_what_is_left(impatient, capsys, monkeypatch):
    with SweepProgress(3) as progress:
        progress.update(ROW, 3)
        progress.watch("k=2", {"event": "work", "text": "evaluation", "done": 1, "total": 5})
        wait_for(capsys, "k=2: evaluation: 1 of 5")
        progress.watch("k=2", {"event": "note", "text": "not told", "about": "load"})
        for cell in ("k=2", "k=3"):
            progress.watch(cell, {"event": "note", "text": "told once"})
        # One new cell in 100 s, one more to come; the kept one took no time.
        monkeypatch.setattr(progress, "_begun", time.monotonic() - 100)
        progress.update({**ROW, "cell": "k=2"}, 3)
        progress.update({**ROW, "cell": "k=3"}, 3)
    lines = capsys.readouterr().err.splitlines()
    assert "k=2: accuracy 0.5000, 3.0 s (2 of 3, about 100 s left)" in lines
    assert "k=3: accuracy 0.5000, 3.0 s (3 of 3)" in lines
    assert not any("not told" in line for line in lines)
    assert lines.count("told once") == 1


def test_names_in_lines_are_escaped(capsys):
    with WorkProgress() as progress:
        progress.say("the class 'a\nb\x1b[2J'")
    assert capsys.readouterr().err == "the class 'a\\nb\\x1b[2J'\n"


def test_an_output_that_is_gone_ends_the_lines_and_not_the_work(impatient):
    from poc.shared.engine.console.output import OutputFailed

    tried = []

    def refuse(line):
        tried.append(line)
        raise OutputFailed("standard error", BrokenPipeError(32, "Broken pipe"))

    with Heartbeat(refuse) as quiet:
        quiet.note("work", 1, 5)
        deadline = time.monotonic() + 10
        while not tried and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(tried) == 1


def test_counts_are_reported_at_once_and_then_not_too_often(monkeypatch):
    events, clock = [], iter([0.0, 0.05, 0.2, 0.25])
    monkeypatch.setattr("poc.shared.engine.console.work_count.time.monotonic", lambda: next(clock))
    count = WorkCount(events.append, "images", 9)
    for done in (1, 2, 3):
        count(done)
    assert [event["done"] for event in events] == [0, 2]
    assert json.dumps(events[0]) == json.dumps(
        {"event": "work", "text": "images", "done": 0, "total": 9}
    )


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch):
    from rich.console import Console

    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: True))
    monkeypatch.setenv("TERM", "xterm")
    with TrainingProgress("tf") as progress:
        progress.update({"event": "work", "text": "features", "done": 3, "total": 7})
        progress.update({"event": "step", "step": 1, "num_steps": 4, "images_per_second": 2.0})
        progress._bar.refresh()
    text = stream.getvalue()
    assert "tf: steps" in text
    assert "1/4" in text
    assert "about" not in text
