"""`poc track`: the trackers read back what the run folder holds, once and while it grows."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from poc.shared.actions.tracking import track as tracking
from poc.shared.actions.tracking.run_facts import read_time
from poc.shared.actions.tracking.track import RESULTS, name_runs, track_runs
from poc.shared.data.sources.inspection import ignore
from poc.shared.engine.folder.lock import hold_lock
from poc.shared.engine.folder.run_folder import LOCK, RunFolder
from poc.shared.errors import UsageError
from poc.tests.faults.test_resume import RUN, train

pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the stub with several epochs."""
    folder = tmp_path_factory.mktemp("tracked") / "run"
    train(folder, {**RUN, "num_epochs": 3})
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs" / "first")


def track(folders, to, place, **options):
    options = {"follow": False, "note": ignore, **options}
    return track_runs(folders, to=to, place=str(place), **options)


def method_of(run):
    return RunFolder(run).read_run()["run"]["method"]


def read_events(folder):
    """Tag -> step -> value, as TensorBoard itself reads the files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: {event.step: event.value for event in read.Scalars(tag)}
        for tag in read.Tags()["scalars"]
    }, [event.wall_time for event in read.Scalars("val/loss")]


def read_mlflow(place):
    client = mlflow.MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("poc")
    return client, client.search_runs([experiment.experiment_id])


def measured(run):
    return RunFolder(run).read_metrics(), RunFolder(run).read_summary()


def test_tensorboard_reads_back_every_number(run, tmp_path):
    assert track([run], "tensorboard", tmp_path / "logs") == 1
    found, times = read_events(tmp_path / "logs" / "first")
    lines, summary = measured(run)
    for line in lines:
        for name, value in line.items():
            if name not in ("epoch", "step") and isinstance(value, float):
                assert found[name][line["epoch"]] == pytest.approx(value, rel=1e-6), name
    for name in RESULTS:
        if isinstance(summary.get(name), int | float):
            assert found[f"results/{name}"][3] == pytest.approx(summary[name], rel=1e-6)
    assert found["results/is_finished"] == {3: 1.0}
    began = read_time(RunFolder(run).read_run()["started"])
    passed = sum(line["epoch_seconds"] for line in lines)
    assert times[-1] == pytest.approx(began + passed, abs=1e-3)


def test_tensorboard_imports_no_tensorflow_and_prints_nothing_of_it(run, tmp_path):
    """In a process of its own: another test may have imported it."""
    script = (
        "import sys; from pathlib import Path; from poc.shared.actions.tracking.track import *; "
        "track_runs([Path(sys.argv[1])], to='tensorboard', place=sys.argv[2], follow=False, "
        "note=print); print('tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(run), str(tmp_path / "logs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert "val/loss" in read_events(tmp_path / "logs" / "first")[0]


def test_tensorboard_knows_the_settings(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    track([run], "tensorboard", tmp_path / "logs")
    read = EventAccumulator(str(tmp_path / "logs" / "first"))
    read.Reload()
    content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = HParamsPluginData.FromString(content).session_start_info
    shown = {name: value.string_value for name, value in started.hparams.items()}
    assert shown["method"] == method_of(run)
    assert shown["seed"] == "0"
    assert not any(name.startswith("data.source") for name in shown)


def test_mlflow_reads_back_every_number(run, tmp_path):
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert track([run], "mlflow", place) == 1
    client, [found] = read_mlflow(place)
    lines, summary = measured(run)
    for name in ("train/loss", "val/loss", "val/accuracy", "learning_rate"):
        history = client.get_metric_history(found.info.run_id, name)
        assert [(entry.step, entry.value) for entry in history] == [
            (line["epoch"], line[name]) for line in lines
        ]
    assert found.data.metrics["test_accuracy"] == summary["test_accuracy"]
    assert found.data.params["method"] == method_of(run)
    assert found.data.params["data.split.kind"]
    assert (found.info.status, found.info.run_name) == ("FINISHED", "first")
    assert found.data.tags["poc.folder"] == str(run)


@pytest.mark.parametrize("to", ["tensorboard", "mlflow"])
def test_a_second_call_writes_nothing_twice(to, run, tmp_path):
    place = tmp_path / "logs" if to == "tensorboard" else f"sqlite:///{tmp_path / 'mlflow.db'}"
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    RunFolder(run).mark("running")
    (run / "metrics.jsonl").write_text(lines[0])
    notes = []
    with hold_lock(run):
        track([run], to, place, note=notes.append)
    assert notes == ["1 run still training; --follow would wait for the end."]
    RunFolder(run).mark("finished")
    (run / "metrics.jsonl").write_text("".join(lines))
    for _ in range(2):
        track([run], to, place)
    if to == "tensorboard":
        steps = list(read_events(tmp_path / "logs" / "first")[0]["val/loss"])
    else:
        client, [found] = read_mlflow(place)
        results = client.get_metric_history(found.info.run_id, "test_accuracy")
        assert len(results) == 1
        steps = [entry.step for entry in client.get_metric_history(found.info.run_id, "val/loss")]
    assert steps == [1, 2, 3]


def test_mlflow_takes_the_names_of_pairs_and_classes(run, tmp_path):
    """`l2t-ww` names its pairs of layers with a `>`, and a name may hold any character."""
    line = RunFolder(run).read_metrics()[0]
    named = {"train/pair_weight/block1>block2": 0.25, "val/recall/a+b (c)": 0.5}
    (run / "metrics.jsonl").write_text(f"{json.dumps({**line, **named})}\n")
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    track([run], "mlflow", place)
    [found] = read_mlflow(place)[1]
    metrics = found.data.metrics
    assert metrics["train/pair_weight/block1 to block2"] == 0.25
    assert metrics["val/recall/a_b _c_"] == 0.5


def test_a_run_of_mlflow_ends_when_its_last_epoch_ended(run, tmp_path):
    """Also if an earlier call had all of its epochs."""
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    RunFolder(run).mark("running")
    track([run], "mlflow", place)
    RunFolder(run).mark("finished")
    track([run], "mlflow", place)
    [found] = read_mlflow(place)[1]
    passed = sum(line["epoch_seconds"] for line in measured(run)[0])
    took = (found.info.end_time - found.info.start_time) / 1000
    assert took == pytest.approx(passed, abs=2e-3)
    assert took > 0


def test_runs_of_equal_names_keep_their_events(run, tmp_path):
    folders = [tmp_path / "runs" / name / "tf" for name in ("second", "third")]
    logs = tmp_path / "logs"
    for folder in folders:
        shutil.copytree(run, folder)
    for folder in (*folders, folders[1]):
        track([folder.parent], "tensorboard", logs)
    found = {path.parent.relative_to(logs): path for path in logs.rglob("poc.json")}
    assert {str(name) for name in found} == {"tf", "third/tf"}
    owners = [json.loads(path.read_text())["run"] for path in found.values()]
    assert sorted(owners) == [str(folder) for folder in folders]
    for name in found:
        assert list(read_events(logs / name)[0]["val/loss"]) == [1, 2, 3]


def test_a_folder_may_hold_those_of_runs_with_longer_names(run, tmp_path):
    longer = shutil.copytree(run, tmp_path / "first" / "tf")
    shutil.copytree(run, tmp_path / "other" / "tf")
    track([tmp_path / "first", tmp_path / "other"], "tensorboard", tmp_path / "logs")
    for _ in range(2):
        track([run], "tensorboard", tmp_path / "logs")
    owner = json.loads((tmp_path / "logs" / "first" / "tf" / "poc.json").read_text())["run"]
    assert owner == str(longer)


def test_a_folder_that_is_used_anew_is_another_run_of_mlflow(run, tmp_path):
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    track([run], "mlflow", place)
    record = RunFolder(run).read_run()
    RunFolder(run).write_run({**record, "started": "2020-01-01T00:00:00+0000"})
    track([run], "mlflow", place)
    assert len(read_mlflow(place)[1]) == 2


def test_it_follows_a_run_to_its_end(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "SECONDS_BETWEEN_LOOKS", 0.02)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    RunFolder(run).mark("running")
    (run / "metrics.jsonl").write_text("")

    def grow():
        for line in lines:
            time.sleep(0.05)
            RunFolder(run).append_metrics(json.loads(line))
        RunFolder(run).mark("finished")

    thread = threading.Thread(target=grow)
    with hold_lock(run):
        thread.start()
        track([run], "tensorboard", tmp_path / "logs", follow=True)
        thread.join()
    found, _ = read_events(tmp_path / "logs" / "first")
    assert list(found["val/loss"]) == [1, 2, 3]
    assert found["results/is_finished"] == {3: 1.0}


class SilentTracker:
    """Keeps how a run ended."""

    num_epochs, ends = 3, []

    def __init__(self, facts, place):
        self.ends.clear()

    def finish(self, status, seconds, results):
        assert seconds >= 0
        self.ends.append((status, results))

    def close(self):
        pass


@pytest.fixture
def follow(run, monkeypatch):
    """Follows a run whose record says `running`; gives the notes, and ends after five sleeps."""
    monkeypatch.setattr(tracking, "TRACKERS", {"silent": SilentTracker})
    RunFolder(run).mark("running")

    def start(follow=True):
        notes, sleeps = [], iter(range(5))
        monkeypatch.setattr(tracking.time, "sleep", lambda seconds: next(sleeps))
        with suppress(StopIteration):
            track([run], "silent", "", follow=follow, note=notes.append)
        return notes

    return start


def test_a_killed_run_is_not_followed_for_ever(run, follow):
    """Its record says `running` for good, and nobody holds its lock."""
    (run / LOCK).write_text(json.dumps({"process": 1, "machine": socket.gethostname()}))
    assert follow() == [f"No process holds {run}: its run ended unexpectedly."]
    assert SilentTracker.ends == [("interrupted", {})]


def test_one_call_tells_a_killed_run_too(run, follow):
    """A run that ends at this moment looks as abandoned: one look is not enough."""
    (run / LOCK).write_text(json.dumps({"process": 1, "machine": socket.gethostname()}))
    assert follow(follow=False) == [f"No process holds {run}: its run ended unexpectedly."]
    assert SilentTracker.ends == [("interrupted", {})]


def test_a_run_that_may_train_is_followed(run, follow, monkeypatch):
    (run / LOCK).write_text(json.dumps({"process": 1, "machine": "another"}))
    assert follow() == []
    with hold_lock(run):
        assert follow() == []
    looks = iter([True, False, True, False, True, False])
    monkeypatch.setattr(tracking, "is_abandoned", lambda folder: next(looks))
    assert follow() == []
    assert SilentTracker.ends == []


@pytest.mark.parametrize(("status", "end"), [("interrupted", "KILLED"), ("failed", "FAILED")])
def test_a_run_that_did_not_finish_has_no_results(status, end, run, tmp_path):
    RunFolder(run).mark(status)
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    track([run], "mlflow", place)
    [found] = read_mlflow(place)[1]
    assert found.info.status == end
    assert "test_accuracy" not in found.data.metrics


def test_runs_of_a_sweep_have_names_of_their_own(run, tmp_path):
    for name in ("a/seed=0", "a/seed=1", "b/seed=0"):
        shutil.copytree(run, tmp_path / "sweep" / name)
    assert track([tmp_path / "sweep", tmp_path / "sweep" / "a"], "tensorboard", tmp_path / "l") == 3
    found = {path.parent.relative_to(tmp_path / "l") for path in (tmp_path / "l").rglob("poc.json")}
    assert {str(path) for path in found} == {"a/seed=0", "a/seed=1", "b/seed=0"}
    assert list(name_runs([run]).values()) == ["first"]


def test_the_run_folder_is_not_touched(run, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    track([run], "tensorboard", tmp_path / "logs")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_files_of_others_are_kept(run, tmp_path):
    (tmp_path / "logs" / "first").mkdir(parents=True)
    (tmp_path / "logs" / "first" / "events.out.tfevents.1").write_text("mine")
    with pytest.raises(UsageError, match="has files that `poc track` did not write"):
        track([run], "tensorboard", tmp_path / "logs")
    assert (tmp_path / "logs" / "first" / "events.out.tfevents.1").read_text() == "mine"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        (None, r"^Got no --to\. Expected one of tensorboard, mlflow\. Try --to tensorboard"),
        ("tensorbord", r"^Got --to 'tensorbord'\..* Try --to tensorboard"),
        ("mlflow", r"^Got the MLflow place 'nothing://x', which cannot be used"),
    ],
)
def test_wrong_use_is_refused(to, words, run):
    with pytest.raises(UsageError, match=words):
        track([run], to, "nothing://x")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="which has no run"):
        track([tmp_path], "tensorboard", tmp_path / "logs")


@pytest.mark.parametrize(("to", "package"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow")])
def test_a_missing_package_is_named(to, package, run, tmp_path, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"Try pip install 'poc\[{to}\]'"):
        track([run], to, tmp_path / "logs")
