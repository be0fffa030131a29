"""A quiet command draws and prints nothing beside its result."""

import pytest

from poc.shared.commands.options import tell
from poc.shared.engine.console.progress import SweepProgress, TrainingProgress, WorkProgress
from poc.shared.engine.console.verbosity import Verbosity, choose, is_quiet, is_verbose

NOTE = {"event": "note", "text": "a note"}
CELL = {"cell": "a", "status": "finished", "test_accuracy": 0.5, "total_seconds": 1.0}


@pytest.fixture
def chosen(request):
    choose(request.param)
    yield request.param
    choose(Verbosity.NORMAL)


def talk():
    with WorkProgress("export") as progress:
        progress.update(NOTE)
        progress.update({"event": "work", "text": "features", "done": 1, "total": 2})
    with TrainingProgress("tf") as progress:
        progress.say("a line")
    with SweepProgress(2) as progress:
        progress.update(CELL)
    tell("told")


@pytest.mark.parametrize("chosen", [Verbosity.QUIET], indirect=True)
def test_quiet_is_silent(chosen, capsys):
    talk()
    assert (is_quiet(), is_verbose()) == (True, False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("chosen", [Verbosity.NORMAL, Verbosity.VERBOSE], indirect=True)
def test_otherwise_notes_are_told(chosen, capsys):
    talk()
    output, errors = capsys.readouterr()
    assert output == ""
    for word in ("a note", "a line", "accuracy 0.5000", "told"):
        assert word in errors


@pytest.mark.parametrize("chosen", [Verbosity.QUIET], indirect=True)
def test_a_quiet_terminal_has_no_bar(chosen, monkeypatch, capsys):
    monkeypatch.setattr("poc.shared.engine.console.terminal.Terminal.is_terminal", True)
    talk()
    assert capsys.readouterr() == ("", "")
