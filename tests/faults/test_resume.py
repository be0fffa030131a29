"""A resumed run equals the uninterrupted one, wherever it was stopped (on a stub backend)."""

import json
import math
import signal

import numpy as np
import pytest

from poc.shared.engine.folder import checkpoints
from poc.shared.engine.folder.checkpoints import LATEST, PREVIOUS, Checkpoint, read_checkpoint
from poc.shared.engine.folder.loop_state import LoopState, Sums
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.errors import Interrupted, Terminated, UsageError
from poc.shared.files.arrays import read_arrays, write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.commands.processes import facts
from poc.tests.helpers.workers import stub

DATA = {"split": {"train_per_class": 5}, "batch_size": 10}
MODEL = {"name": "lightnet_plain", "options": {"widths": [2, 2], "k": 1}}
RUN = {
    "data": {**DATA, "train_view": {"horizontal_flip": 0.5}},
    "model": MODEL,
    "num_epochs": 3,
    "schedule": {"name": "cosine"},
    "early_stopping": {"reduce_patience": 1},
    "precision": "float64",
}
STEPS_A_EPOCH = 5
# Its body never moves, and takes more than a block of the disk.
FROZEN = {
    **RUN,
    "method": "transfer",
    "model": {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [8, 16]}},
}

# Drawn with replacement, views by operations that are drawn for each image.
DRAWN = {
    "sampling": "balanced",
    "train_view": {"policy": "trivialaugment", "horizontal_flip": 0.5, "mixup": 0.4},
}
# Five batches an epoch make two updates, the second of them smaller.
GROUPED = {**RUN, "optimizer": {"accumulation_steps": 3}, "ema": {"decay": 0.9}}
# Runs that are stopped after every step; `teacher`: further settings of one with a teacher.
KINDS = {
    "supervised": RUN,
    "frozen": FROZEN,
    "balanced draws": {**RUN, "data": {**DATA, **DRAWN}},
    "randaugment": {**RUN, "data": {**DATA, "train_view": {"policy": "randaugment"}}},
    "one cycle": {**RUN, "schedule": {"name": "one_cycle"}},
    "polynomial": {**RUN, "schedule": {"name": "polynomial", "power": 2.0}},
    "grouped": GROUPED,
    "grouped frozen": {**FROZEN, **{key: GROUPED[key] for key in ("optimizer", "ema")}},
    "stages": {"teacher": {}},
    "averaged stages": {"teacher": {"ema": {"decay": 0.9}}},
    "stages, balanced draws": {"teacher": {"data": {**DATA, "sampling": "balanced"}}},
}


def with_teacher(folder, **options):
    """A method of two stages that keeps its teacher's outputs."""
    run = RunSpec.parse(
        {**RUN, "method": "scratch", "input_shape": [28, 28, 1], "num_classes": 10}, ""
    )
    path = folder / "teacher.safetensors"
    if not path.exists():
        write_arrays(path, draw_weights(declare_network(run).parameters, 1))
    teacher = {"weights": str(path), "model": MODEL, "cache": True}
    data = {**DATA, "split": {"train_per_class": 5}}
    learning = {"method": "fitnets", "teacher": teacher, "num_epochs": 4}
    return {**RUN, **learning, "data": data, **options}


def train(folder, run, *, is_resumed=False, save_every="10min", notes=None):
    output = folder if is_resumed or folder.exists() else RunFolder.create(folder).path
    report = (lambda event: None) if notes is None else notes.append
    return ServedOperations(stub, report, 0.0).train(
        run=run, folder=str(output), command="poc", save_every=save_every, is_resumed=is_resumed
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_after_every_step_changes_nothing(kind, tmp_path, monkeypatch):
    """One process a step: each resume takes one step and is asked to stop again."""
    run = KINDS[kind]
    if "teacher" in run:
        run = with_teacher(tmp_path, **run["teacher"])
    train(tmp_path / "whole", run)
    expected = facts(tmp_path / "whole")
    steps = run["num_epochs"] * STEPS_A_EPOCH
    monkeypatch.setattr(Saver, "is_due", stub.stop_at(range(1, steps + 1)))
    for step in range(1, steps + 1):
        with pytest.raises(Terminated, match=f"step {step}, which is saved"):
            train(tmp_path / "parts", run, is_resumed=step > 1)
        record = RunFolder(tmp_path / "parts").read_run()
        assert (record["status"], len(record.get("resumes", []))) == ("interrupted", step - 1)
    train(tmp_path / "parts", run, is_resumed=True)
    assert facts(tmp_path / "parts") == expected
    assert RunFolder(tmp_path / "parts").read_run()["status"] == "finished"


def test_a_run_with_a_split_setting_that_does_nothing_goes_on(tmp_path, monkeypatch):
    """Such settings were ignored before they were refused, and a resume cannot change them."""
    train(tmp_path / "whole", RUN)
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({7}))
    with pytest.raises(Terminated):
        train(tmp_path / "parts", RUN)
    # The embedded images have parts of their own.
    split = {**DATA["split"], "fractions": [0.5, 0.25, 0.25]}
    run = {**RUN, "data": {**RUN["data"], "split": split}}
    with pytest.raises(UsageError, match="which publishes parts"):
        train(tmp_path / "new", run)
    train(tmp_path / "parts", run, is_resumed=True)
    whole, parts = facts(tmp_path / "whole"), facts(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert parts == whole


@pytest.mark.parametrize("kind", ["supervised", "grouped"])
def test_a_stop_during_validation_and_the_test_changes_nothing(kind, tmp_path, monkeypatch):
    run = KINDS[kind]
    train(tmp_path / "whole", run)
    calls, logits = [], stub.Trainer.logits

    def stopping(self, images):
        calls.append(1)
        # 20 batches validate: twice in the first epoch, once in the second, then in the test.
        if len(calls) in (3, 9, 30, 100):
            signal.raise_signal(signal.SIGINT)
        return logits(self, images)

    monkeypatch.setattr(stub.Trainer, "logits", stopping)
    for stop in range(4):
        with pytest.raises(Interrupted, match="go on with `poc run --resume"):
            train(tmp_path / "parts", run, is_resumed=stop > 0)
    train(tmp_path / "parts", run, is_resumed=True)
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


def test_early_stopping_and_patience_survive(tmp_path, monkeypatch):
    run = {**RUN, "num_epochs": 9, "early_stopping": {"patience": 2, "metric": "val/accuracy"}}
    train(tmp_path / "whole", run)
    last = RunFolder(tmp_path / "whole").read_summary()["num_epochs"]
    assert last < 9
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({(last - 1) * STEPS_A_EPOCH + 2}))
    with pytest.raises(Terminated):
        train(tmp_path / "parts", run)
    train(tmp_path / "parts", run, is_resumed=True)
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


@pytest.mark.parametrize("save_every", ["1", "3steps", "0.0000001min"])
def test_saving_often_changes_nothing(save_every, tmp_path):
    train(tmp_path / "whole", RUN)
    train(tmp_path / "often", RUN, save_every=save_every)
    assert facts(tmp_path / "often") == facts(tmp_path / "whole")


def test_more_steps_than_between_two_looks_at_the_loss(tmp_path, monkeypatch):
    """Totals that were fetched before the stop, and some that were not."""
    monkeypatch.setattr("poc.shared.engine.training.loop.STEPS_BETWEEN_CHECKS", 2)
    train(tmp_path / "whole", RUN)
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({3, 4, 8}))
    for is_resumed in (False, True, True):
        with pytest.raises(Terminated):
            train(tmp_path / "parts", RUN, is_resumed=is_resumed)
    train(tmp_path / "parts", RUN, is_resumed=True)
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


def test_metrics_written_after_the_checkpoint_are_cut_back(tmp_path, monkeypatch):
    train(tmp_path / "whole", RUN)
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({7}))
    with pytest.raises(Terminated):
        train(tmp_path / "parts", RUN)
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "step": 10, "train/loss": 1.0}\n{"epoch": 3, "st')
    train(tmp_path / "parts", RUN, is_resumed=True)
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, tmp_path, monkeypatch):
    train(tmp_path / "whole", RUN)
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({12}))
    with pytest.raises(Terminated):
        train(tmp_path / "parts", RUN)
    path = RunFolder(tmp_path / "parts").checkpoints / LATEST
    content = path.read_bytes()
    changed = {
        "cut": content[:-9],
        "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        "empty": b"",
    }
    path.unlink()
    if damage != "gone":
        path.write_bytes(changed[damage])
    assert read_checkpoint(path.parent).loop.step == 10
    monkeypatch.setattr(Saver, "is_due", stub.stop_at(set()))
    train(tmp_path / "parts", RUN, is_resumed=True)
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


def test_without_any_whole_checkpoint_the_resume_is_refused(tmp_path):
    for name in (LATEST, PREVIOUS):
        (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(UsageError, match=LATEST):
        read_checkpoint(tmp_path)


def test_other_data_is_refused_and_the_run_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({7}))
    with pytest.raises(Terminated):
        train(tmp_path / "run", RUN)
    before = (tmp_path / "run" / "run.json").read_bytes()
    other = {**RUN, "data": {**RUN["data"], "split": {"train_per_class": 4}}}
    with pytest.raises(UsageError, match="data has changed"):
        train(tmp_path / "run", other, is_resumed=True)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_checkpoint_round_trip_is_exact(tmp_path):
    arrays = {"a/kernel": np.float32([[1, 2]]), "b": np.float64([math.pi])}
    checkpoint = Checkpoint(
        loop=LoopState(epoch=2, step=7, is_in_epoch=True, best_score=-math.inf),
        sums=Sums(3, {"loss": 0.1 + 0.2}, 7.0),
        line={"epoch": 1, "train/loss": 1 / 3},
        weights=arrays,
        trainer_state={"a/kernel/exp_avg": np.float32([1])},
        counts={"loss": 1e-300, "num_steps": 3},
    )
    checkpoints.write_checkpoint(tmp_path, checkpoint)
    found = read_checkpoint(tmp_path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.weights[name], array)
        assert found.weights[name].dtype == array.dtype
    assert (found.loop, found.sums) == (checkpoint.loop, checkpoint.sums)
    assert (found.line, found.counts) == (checkpoint.line, checkpoint.counts)
    assert read_arrays(tmp_path / LATEST).keys() == {
        "weights/a/kernel",
        "weights/b",
        "state/a/kernel/exp_avg",
    }


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "ten", "5 hours", "0min", "nan"])
def test_save_every_refusals(text):
    with pytest.raises(UsageError, match="--save-every"):
        Saver.parse(text)


def test_save_every_counts_steps_or_minutes():
    steps, minutes = Saver.parse("4"), Saver.parse("2min")
    assert [step for step in range(1, 10) if steps.is_due(step, 0.0)] == [4, 8]
    minutes.last_saved = 100.0
    assert [minutes.is_due(1, now) for now in (101.0, 219.9, 220.0)] == [False, False, True]


def test_a_finished_run_is_not_trained_again(tmp_path):
    from poc.shared.engine.launch.run import resume_run

    row = train(tmp_path / "run", RUN)
    before = (tmp_path / "run" / "run.json").read_bytes()
    again = resume_run(tmp_path / "run", command="", report=lambda event: None)
    assert again["test_loss"] == row["test_loss"]
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    assert json.loads(before)["status"] == "finished"


def test_a_sweep_goes_on_with_a_stopped_cell_and_repeats_a_failed_one(tmp_path, monkeypatch):
    from poc.shared.engine.launch import sweep

    called = []
    for name in ("launch_run", "resume_run"):
        monkeypatch.setattr(sweep, name, lambda *a, name=name, **o: called.append(name) or {})
    monkeypatch.setattr(sweep.RunFolder, "mark", lambda self, *a, **o: None)
    run = RunSpec.parse(RUN, "").model_dump(mode="json")
    folder = tmp_path / "cell"
    task = {
        "name": "c",
        "run": run,
        "settings": {},
        "folder": str(folder),
        "command": "",
        "executor": {},
    }
    sweep.run_cell(task)
    monkeypatch.undo()
    monkeypatch.setattr(Saver, "is_due", stub.stop_at({7}))
    with pytest.raises(Terminated):
        train(folder, RUN)
    assert sweep.can_resume(folder)
    RunFolder(folder).mark("failed")
    assert not sweep.can_resume(folder)
    assert called == ["launch_run"]
