"""What a worker prints is shown as it comes, from its log file."""

import pytest

from poc.shared.engine.console.verbosity import Verbosity, choose
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.log_echo import LogEcho
from poc.shared.errors import UsageError


@pytest.fixture
def verbose():
    choose(Verbosity.VERBOSE)
    yield
    choose(Verbosity.NORMAL)


def test_new_lines_alone_are_shown(tmp_path, capsys):
    log = tmp_path / "worker.log"
    log.write_text("of a former run\n")
    echo = LogEcho("tf", log)
    echo.start("python", 7)
    with log.open("a") as stream:
        stream.write("first\n\x1b[31mred\nhalf")
    echo.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "tf| process 7 of python starts"
    assert lines[1] == "tf| first"
    assert lines[2].startswith("tf| ")
    assert "\x1b" not in lines[2]
    assert lines[3] == "tf| half"
    assert lines[4].startswith("tf| process ends after ")
    assert len(lines) == 5
    assert log.exists()


def test_a_line_is_shown_before_the_end(tmp_path, capsys):
    log = tmp_path / "worker.log"
    echo = LogEcho("torch", log)
    echo.start("python", 7)
    log.write_text("now\n")
    shown = ""
    for _ in range(100):
        shown += capsys.readouterr().err
        if "torch| now\n" in shown:
            break
        echo._ended.wait(0.1)
    echo.close()
    assert "torch| now\n" in shown


def test_a_temporary_log_is_removed(capsys):
    echo = LogEcho("tf", None)
    assert echo.path.exists()
    echo.start("python", 7)
    echo.close()
    assert not echo.path.exists()


def test_an_interpreter_that_cannot_be_started_leaves_nothing(verbose, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("POC_TORCH_PYTHON", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="POC_TORCH_PYTHON"):
        Worker("torch")
    assert not list(tmp_path.iterdir())


@pytest.mark.torch
def test_a_worker_without_a_log_is_listened_to(verbose, monkeypatch, tmp_path, capsys):
    """Python prints the modules that it imports where it is asked to: a worker's own words."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONVERBOSE", "1")
    with Worker("torch"):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("torch| process ")
    assert any("import 'torch'" in line for line in lines)
    assert lines[-1].startswith("torch| process ends after ")
    assert not list(tmp_path.iterdir())
