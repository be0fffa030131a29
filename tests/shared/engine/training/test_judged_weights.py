"""The average is evaluated, kept and handed on; training, its checkpoint and `last` are not its."""

import numpy as np
import pytest

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.metrics import classification_metrics
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.step_numbers import AVERAGE_PREFIX
from poc.shared.engine.training.evaluation import evaluate
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays, read_arrays_and_metadata, write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.workers import stub

RUN = {
    "data": {"split": {"train_per_class": 5}, "batch_size": 10},
    "model": {"name": "lightnet_plain", "options": {"widths": [2, 2], "k": 1}},
    "num_epochs": 1,
    "precision": "float64",
    "ema": {"decay": 0.9},
}


def train(folder, **fields):
    output = RunFolder.create(folder)
    row = ServedOperations(stub, lambda event: None, 0.0).train(
        run={**RUN, **fields}, folder=str(output.path), command="poc", save_every="10min"
    )
    return output, row


def test_what_is_kept_and_judged(tmp_path):
    folder, row = train(tmp_path / "run")
    best, metadata = read_arrays_and_metadata(folder.best)
    last, checkpoint = read_arrays(folder.last), folder.read_checkpoint()
    averages = {
        name.removeprefix(AVERAGE_PREFIX): value
        for name, value in checkpoint.trainer_state.items()
        if name.startswith(AVERAGE_PREFIX)
    }
    assert averages.keys() >= best.keys()
    for name, value in best.items():
        assert np.array_equal(value, averages[name]), name
        assert np.array_equal(last[name], checkpoint.weights[name]), name
    assert any(not np.array_equal(best[name], last[name]) for name in best)
    assert (row["judged_weights"], metadata["judged_weights"]) == ("averaged", "averaged")


def test_both_parts_are_evaluated_with_the_average(tmp_path):
    folder, row = train(tmp_path / "run")
    run, data = resolve(RunSpec.parse(RUN, ""))
    with data:
        for weights, is_judged in (
            (read_arrays(folder.best), True),
            (read_arrays(folder.last), False),
        ):
            trainer = stub.Trainer(run, weights)
            for part, pipeline in (("best_val", data.val), ("test", data.test)):
                assert isinstance(pipeline, Pipeline)
                loss = classification_metrics(*evaluate(trainer, pipeline))["loss"]
                assert (loss == row[f"{part}_loss"]) == is_judged, part


def test_without_an_average_nothing_is_said(tmp_path):
    folder, row = train(tmp_path / "run", ema={})
    assert "judged_weights" not in row
    assert "judged_weights" not in read_arrays_and_metadata(folder.best)[1]
    assert not any(
        name.startswith(AVERAGE_PREFIX) for name in folder.read_checkpoint().trainer_state
    )


def test_a_stage_hands_its_average_on(tmp_path, monkeypatch):
    """The next stage's trainer starts from it, and its own average too."""
    started = []
    build = stub.Trainer.__init__

    def watch(self, run, weights):
        build(self, run, weights)
        started.append(self)
        self.stage = run.spec.stage
        self.first = {name: value.copy() for name, value in self.own.items()}

    monkeypatch.setattr(stub.Trainer, "__init__", watch)
    source = RunSpec.parse({**RUN, "input_shape": [28, 28, 1], "num_classes": 10}, "")
    path = tmp_path / "teacher.safetensors"
    write_arrays(path, draw_weights(declare_network(source).parameters, 1))
    teacher = {"weights": str(path), "model": RUN["model"]}
    folder, _ = train(tmp_path / "run", method="fitnets", num_epochs=2, teacher=teacher)
    first, second = started[:2]
    left = read_arrays(folder.stage_end(first.stage))
    moving = [name for name in first.average if name in second.first]
    assert moving
    for name in moving:
        assert np.array_equal(left[name], first.average[name]), name
        assert not np.array_equal(left[name], first.own[name]), name
        assert np.array_equal(left[name], second.first[name]), name


def test_a_failed_evaluation_leaves_the_training_its_weights(tmp_path, monkeypatch):
    """The checkpoint of an interrupted evaluation is that of the training."""
    monkeypatch.setattr(stub.Trainer, "logits", lambda self, images, extras=None: 1 / 0)
    seen = []
    load = stub.Trainer.load

    def watch(self, weights):
        load(self, weights)
        seen.append((self, {name: value.copy() for name, value in self.own.items()}))

    monkeypatch.setattr(stub.Trainer, "load", watch)
    with pytest.raises((ZeroDivisionError, UsageError)):
        train(tmp_path / "run")
    (trainer, averaged), (_, own) = seen
    for name, value in trainer.own.items():
        assert np.array_equal(value, own[name]), name
    assert any(not np.array_equal(averaged[name], own[name]) for name in own)
