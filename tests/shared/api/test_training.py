"""`poc.run` and `poc.compare`, with the stub in place of both frameworks."""

import subprocess
import sys

import pytest

from poc.shared.actions import comparison
from poc.shared.actions.requested_run import OPTION_KEYS
from poc.shared.analysis.parity.rungs import Rung
from poc.shared.api import training
from poc.shared.api.training import RunKeywords, compare, run
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.tests.helpers.commands.processes import stub_environment

SMALL = {
    "method": "scratch",
    "model": "lightnet_plain",
    "epochs": 2,
    "settings": {"model.widths": [2, 2], "model.k": 1, "split.train_per_class": 5},
}


# In a process of its own, which may be interrupted: what a notebook's stop button sends arrives
# once an epoch is written.
INTERRUPTED = """
import signal, sys, threading, time
from pathlib import Path
import poc

def interrupt():
    while not Path("run/metrics.jsonl").exists():
        time.sleep(0.02)
    signal.raise_signal(signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    poc.run(backend="torch", output="run", **{**eval(sys.argv[1]), "epochs": 200})
except poc.Interrupted as error:
    print(error)
# The interrupt ended that call alone: the next one starts as ever.
try:
    poc.run(resume="run", seed=0, settings={"k": 1})
except poc.UsageError as error:
    print(error)
"""


@pytest.fixture
def stubbed(tmp_path, monkeypatch):
    """The stub as both frameworks, in an empty folder."""
    environment = stub_environment(tmp_path, 0)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("POC_TF_PYTHON", environment["POC_TORCH_PYTHON"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_option_of_a_run_is_a_keyword():
    assert RunKeywords.__annotations__.keys() == {*OPTION_KEYS, "config", "settings"}


def test_a_run_from_keywords(stubbed, capfd):
    found = run(backend="torch", output=stubbed / "run", seed=3, save_every=1, **SMALL)
    assert found.folder == stubbed / "run"
    record = RunFolder(found.folder).read_run()
    assert record["status"] == "finished"
    assert record["run"]["seed"] == 3
    assert record["run"]["model"]["options"] == {"widths": [2, 2], "k": 1}
    assert record["command"].startswith("poc.run(backend='torch', output='")
    assert len(found.history) == 2
    assert found.row["model"] == "lightnet_plain"
    # Nothing was printed, and the notes that would have been are kept.
    assert capfd.readouterr() == ("", "")
    assert isinstance(found.notes, tuple)


def test_several_processes_train_together(stubbed):
    found = run(backend="torch", output="run", processes=2, **SMALL)
    record = RunFolder(found.folder).read_run()
    assert record["environment"]["processes"] == 2
    assert "processes=2" in record["command"]
    with pytest.raises(UsageError, match=r"processes=0"):
        run(backend="torch", processes=0, **SMALL)
    # A finished run only gives its row, with any number of processes.
    assert run(resume="run", processes=3).row["num_epochs"] == found.row["num_epochs"]


def test_progress_is_printed_where_it_is_asked_for(stubbed, capfd):
    run(backend="torch", verbose=True, **SMALL)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "torch epoch 2/2" in printed.err
    assert len(list((stubbed / "runs").iterdir())) == 1


def test_a_run_goes_on_after_an_interrupt(stubbed, monkeypatch):
    monkeypatch.setenv("STUB_SECONDS_A_STEP", "0.05")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, repr(SMALL)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = done.stdout.splitlines()
    assert "saved" in told[0]
    assert "go on with poc.run(resume='" in told[0]
    assert told[1].startswith("Got resume with seed, settings, but")
    assert (
        "Expected only data, save_every, processes, max_restarts, engine, address and verbose "
        "with resume." in told[1]
    )
    assert RunFolder("run").read_run()["status"] == "interrupted"
    monkeypatch.setenv("STUB_SECONDS_A_STEP", "0")
    found = run(resume="run")
    assert found.row["num_epochs"] == 200
    again = run(resume="run")
    assert again.notes[0] == "The run of run had finished: this is its row."


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "scratch"}, r"^Got no backend\. .*Try backend=torch"),
        ({"backend": "jax"}, r"^Got backend='jax'"),
        ({"backend": "torch", "epoch": 3}, r"^Got the unknown keyword 'epoch'"),
        ({"backend": "torch", "method": "transfer"}, r"without weights\."),
        ({"backend": "torch", "k": 2, "settings": {"k": 3}}, r"^Got k=2 and k=3"),
        ({"backend": "torch", "settings": {"lr": 3}}, r"learning_rate"),
        ({"backend": "torch", "settings": ["lr=3"]}, r"^Got settings of type list"),
        ({"backend": "torch", "output": ""}, r"^Got output=''"),
        ({"backend": "torch", "config": 3}, r"^Got config=3"),
        ({"resume": 3}, r"^Got resume=3"),
        ({"backend": "torch", "save_every": ""}, r"^Got save_every=''"),
    ],
)
def test_wrong_keywords_are_refused(given, words, stubbed):
    with pytest.raises(UsageError, match=words):
        run(**given)
    assert not (stubbed / "runs").exists()


def test_both_frameworks_are_compared(stubbed):
    found = compare(output="both", parity=False, **SMALL)
    assert [one.row["backend"] for one in found.runs] == ["tf", "torch"]
    assert found.table["backend"].tolist() == ["tf", "torch"]
    assert len(found.parity) == 0
    assert found.failure is None
    assert "not shown to differ" in found.verdict
    with pytest.raises(UsageError, match=r"already has content.*Try .*adding overwrite=True to"):
        compare(output="both", parity=False, **SMALL)


def test_a_broken_rung_is_warned_of(stubbed, monkeypatch):
    broken = Rung("logits", "dense/kernel", 0.5, 1e-5, 3)
    monkeypatch.setattr(training, "check_parity", lambda *_, **__: [broken])
    with pytest.warns(RuntimeWarning, match="dense/kernel differs by") as caught:
        found = compare(**SMALL)
    assert caught[0].filename == __file__
    assert found.failure == comparison.describe_failure([broken])
    assert found.parity[["name", "verdict"]].to_numpy().tolist() == [["logits", "DIFFERENT"]]
