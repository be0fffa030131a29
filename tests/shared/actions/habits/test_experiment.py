"""The experiment from its command to its page, with cells that a stand-in trains."""

import json
from pathlib import Path

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch import sweep
from poc.shared.errors import CheckFailed

DATA = {
    "source": "embedded",
    "split_fingerprint": "s",
    "counts": {"train": 10, "val": 0, "test": 100},
    "class_names": list("abcdefghij"),
}
LABELS = np.arange(100) % 10
SMALL = [
    *("--method", "scratch", "--model", "vgg9_bn", "--set", "width=0.125"),
    *("--set", "last_pool=false"),
    *("--epochs", "1", "--seeds", "3"),
]


class StandIn:
    """Writes the run folder of a cell; `accuracy(run)` is its accuracy, or an error to raise."""

    def __init__(self, accuracy):
        self.accuracy, self.names = accuracy, []

    def __call__(self, run, path, *, command, overwrite, report):
        folder = RunFolder(path)
        Path(path).mkdir(parents=True, exist_ok=True)
        self.names.append(Path(path).name)
        spec = run.model_dump(mode="json")
        record = {"format": "poc run 2", "run": spec, "data": DATA, "environment": {}}
        folder.write_run({**record, "status": "running"})
        found = self.accuracy(run)
        if isinstance(found, Exception):
            raise found
        right = np.arange(100) < round(100 * found)
        logits = np.eye(10, dtype=np.float32)[np.where(right, LABELS, (LABELS + 1) % 10)]
        folder.write_predictions(logits, LABELS, [f"test/{n:03d}" for n in range(100)])
        row = {
            "backend": run.backend,
            "seed": run.seed,
            **dict.fromkeys(("total_parameters", "trainable_parameters", "weight_bytes"), 1),
            "best_epoch": 1,
            "epoch_seconds": 1.0,
            "total_seconds": 2.0,
            "test_accuracy": float(right.mean()),
        }
        folder.write_summary(row)
        (Path(path) / "metrics.jsonl").write_text('{"epoch": 1, "val/accuracy": 0.5}\n')
        folder.mark("finished")
        return row


def by_habits(run):
    """TensorFlow loses 0.3 by its optimiser; the seeds differ a little."""
    lost = 0.3 * ("optimizer" in run.habits.native and run.backend == "tf")
    return 0.8 + 0.01 * run.seed - lost


@pytest.fixture
def train(monkeypatch):
    def install(accuracy):
        stand_in = StandIn(accuracy)
        monkeypatch.setattr(sweep, "launch_run", stand_in)
        return stand_in

    return install


def test_an_experiment_and_its_continuation(poc, train, tmp_path):
    output = tmp_path / "habits"
    code, text, errors = poc("habits", *SMALL, "--output", output, "--plan")
    assert code == 0, errors
    assert text.startswith("48 runs: 1 sets x 3 seeds x 8 arms x 2 frameworks.")
    assert "Left out: padding, since it changes nothing in this run." in text
    assert [path.name for path in output.iterdir()] == ["plan.json"]
    stand_in = train(by_habits)
    code, text, errors = poc("habits", *SMALL, "--output", output)
    assert code == 0, errors
    assert len(stand_in.names) == 48
    assert "With all native habits, the frameworks differ: TensorFlow minus PyTorch is -0.3" in text
    assert "With all common habits, no difference is shown" in text
    assert "3 of 3 seeds are more than 0.05 apart with native habits, 0 of 3" in text
    assert {"index.html", "runs.csv", "effects.csv", "habits.md"} < {
        path.name for path in output.iterdir()
    }
    # Finished cells are not run again, and another plan is refused.
    again = train(by_habits)
    assert poc("habits", *SMALL, "--output", output)[0] == 0
    assert again.names == []
    code, _, errors = poc("habits", *SMALL, "--output", output, "--design", "ends")
    assert code == 2
    assert "Got another plan" in errors
    (output / "effects.csv").unlink()
    code, text, _ = poc("habits", "--analyse", output, "--json")
    assert code == 0
    rows = json.loads(text)
    alone = [row for row in rows if (row["habit"], row["contrast"]) == ("optimizer", "alone")]
    assert {row["quantity"]: round(row["mean"], 6) for row in alone} == {
        "gap": -0.3,
        "size": 0.3,
        "tf": -0.3,
        "torch": 0.0,
    }
    assert (output / "effects.csv").is_file()


def test_a_loss_that_is_not_finite_counts_and_another_failure_does_not(poc, train, tmp_path):
    bad = "Got values of the loss that are not finite at step 3 (epoch 1). Expected finite values."

    def accuracy(run):
        if run.backend == "tf" and run.habits.native == ("optimizer",):
            return CheckFailed(bad)
        if run.habits.native == ("batch_norm",) and run.seed == 2:
            return CheckFailed("the disk is full")
        return by_habits(run)

    train(accuracy)
    code, _, errors = poc("habits", *SMALL, "--output", tmp_path)
    assert code == 1
    assert "Got no result for 2 of 48 runs" in errors
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    broken = [line for line in lines if ",not finite," in line]
    assert len(broken) == 3
    # One class of ten is always right.
    assert all(",not finite,0.1," in line for line in broken)
    assert (
        "3 runs stopped because a value was no longer finite"
        in (tmp_path / "index.html").read_text()
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--design", "half"], "Try --design full"),
        (["--habits", "padding"], "changes nothing in this run"),
        (["--habits", "input_pipeline"], "which resizes no image"),
        (["--habits", "optimiser"], "Try --habits optimizer"),
        (["--target", "1.5"], "between 0 and 1"),
        (["--sets", "3"], "without ranges"),
        (["--set", "habits=native"], "which the experiment sets"),
    ],
)
def test_wrong_use(poc, tmp_path, options, words):
    code, _, errors = poc("habits", *SMALL, "--output", tmp_path / "new", *options)
    assert code == 2
    assert words in errors
    assert not (tmp_path / "new").exists()


def test_images_that_are_resized_make_another_habit(poc, tmp_path):
    options = [*SMALL, "--set", "image_size=[16,16]", "--output", tmp_path / "new", "--plan"]
    code, text, errors = poc("habits", *options)
    assert code == 0, errors
    assert text.startswith("60 runs: 1 sets x 3 seeds x 10 arms x 2 frameworks.")


def test_fine_tuning_needs_weights(poc, tmp_path):
    given = ["--method", "transfer", "--epochs", "1", "--output", tmp_path / "new"]
    code, _, errors = poc("habits", *given)
    assert code == 2
    assert "without --weights" in errors
    assert not (tmp_path / "new").exists()


def test_an_experiment_needs_a_folder(poc, tmp_path):
    assert "Got no --output" in poc("habits", *SMALL)[2]
    assert "has no plan.json" in poc("habits", "--analyse", tmp_path)[2]
