"""A decision answers as it was fitted, and is refused for other weights or classes."""

import json

import numpy as np
import pytest

from poc.shared.engine.folder import decision as module
from poc.shared.engine.folder.decision import (
    DECISION,
    FORMAT,
    Decision,
    digest_checkpoint,
    read_decision,
    write_decision,
)
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS, RunFolder
from poc.shared.errors import UsageError

NAMES = ["healthy", "ill"]


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.best.write_bytes(b"weights")
    folder.write_run({"status": "finished"})
    return folder.path


def make_decision(folder, *, names=NAMES, **changes):
    """A decision of the folder's weights: a temperature of 2, and a threshold at p = 0.2."""
    threshold = {
        "positive": "ill", "rule": "sensitivity", "sensitivity": 0.95,
        "log_odds": float(np.log(0.25)), "probability": 0.2,
    }  # fmt: skip
    source = {
        "part": "val", "file": VALIDATION_PREDICTIONS, "sha256": "0", "images": 40,
        "images_per_class": dict.fromkeys(names, 20),
    }  # fmt: skip
    return Decision.model_validate(
        {
            "format": FORMAT,
            "written": "now",
            "command": "poc calibrate",
            "class_names": names,
            "checkpoint": "best",
            "checkpoint_sha256": digest_checkpoint(folder),
            "fitted_on": source,
            "temperature": 2.0,
            "is_temperature_fitted": True,
            "threshold": threshold,
            **changes,
        }
    )


def test_it_is_read_as_it_was_written(folder):
    written = make_decision(folder)
    write_decision(folder, written)
    assert read_decision(folder, NAMES) == written


def test_a_run_without_one_has_none(folder):
    assert read_decision(folder, NAMES) is None


def test_answers_follow_the_threshold_on_scaled_logits(folder):
    """A margin of m has the probability sigmoid(m / 2); 0.2 is the margin 2 log(0.25)."""
    decision, edge = make_decision(folder), 2 * np.log(0.25)
    margins = np.array([edge - 1e-9, edge + 1e-9, -1.0, 3.0])
    logits = np.stack([np.full(4, 7.0), 7.0 + margins], axis=1)
    assert decision.answer(logits).tolist() == [0, 1, 1, 1]
    assert decision.scale(logits).tolist() == (logits / 2).tolist()
    first = make_decision(folder, threshold=None)
    assert first.answer(logits).tolist() == [0, 0, 0, 1]


def test_the_positive_class_may_be_the_first(folder):
    threshold = make_decision(folder).threshold.model_copy(update={"positive": "healthy"})
    decision = make_decision(folder, threshold=threshold.model_dump())
    logits = np.array([[0.0, 1.0], [0.0, 5.0]])
    # The probability of the first class is 0.38 and 0.08.
    assert decision.answer(logits).tolist() == [0, 1]


def test_other_weights_make_it_stale(folder):
    write_decision(folder, make_decision(folder))
    RunFolder(folder).best.write_bytes(b"other weights")
    with pytest.raises(UsageError, match=r"made for other weights .* Try `poc calibrate .*run` ag"):
        read_decision(folder, NAMES)


def test_missing_weights_make_it_stale(folder):
    write_decision(folder, make_decision(folder))
    RunFolder(folder).best.unlink()
    with pytest.raises(UsageError, match="made for other weights"):
        read_decision(folder, NAMES)


def test_other_classes_are_refused(folder):
    write_decision(folder, make_decision(folder))
    with pytest.raises(UsageError, match="Expected 'poc decision 1' and the classes of the run"):
        read_decision(folder, NAMES[::-1])


CHANGES = {
    "format": {"format": "poc decision 2"},
    "temperature 0": {"temperature": 0.0},
    "temperature as text": {"temperature": "2"},
    "no digest": {"checkpoint_sha256": None},
    "an unknown class": {"class_names": ["healthy", "sick"]},
    "a third class": {"class_names": ["healthy", "ill", "unknown"]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_refused(change, folder):
    content = make_decision(folder).model_dump() | CHANGES[change]
    (folder / DECISION).write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"^Got .*decision\.json"):
        read_decision(folder, NAMES)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": 1}'])
def test_a_damaged_file_is_refused(text, folder):
    (folder / DECISION).write_text(text)
    with pytest.raises(UsageError, match=r"decision\.json"):
        read_decision(folder, NAMES)


def test_a_write_that_fails_leaves_the_former_one(folder, monkeypatch):
    write_decision(folder, make_decision(folder))
    before = (folder / DECISION).read_bytes()

    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr(module, "write_json", fail)
    with pytest.raises(OSError, match="no space"):
        write_decision(folder, make_decision(folder, temperature=3.0))
    assert (folder / DECISION).read_bytes() == before


def test_a_new_run_removes_it(folder):
    write_decision(folder, make_decision(folder))
    RunFolder(folder).write_predictions(np.eye(2), np.array([0, 1]), ["a", "b"])
    (folder / VALIDATION_PREDICTIONS).write_bytes(b"x")
    RunFolder(folder).remove_results()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "run.json"]


@pytest.mark.parametrize("temperature", [1e-320, 0.0, 1e200, float("inf")])
def test_a_temperature_that_overflows_is_refused_in_one_sentence(temperature, folder):
    write_decision(folder, make_decision(folder))
    content = json.loads((folder / DECISION).read_text())
    (folder / DECISION).write_text(json.dumps({**content, "temperature": temperature}))
    with pytest.raises(UsageError) as caught:
        read_decision(folder, NAMES)
    message = str(caught.value)
    assert "(temperature: Input should be" in message
    assert "Try `poc calibrate" in message
    assert len(message.splitlines()) == 1
