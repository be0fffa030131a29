"""What surrounds a call: messages with keywords, silence, settings, unknown keywords."""

import numpy as np
import pytest

from poc.shared.api.python_call import (
    Notes,
    in_python,
    python_call,
    refuse_unknown,
    write_settings,
)
from poc.shared.api.training import RunKeywords
from poc.shared.engine.console.verbosity import Verbosity, choose, is_quiet
from poc.shared.engine.worker.interruption import RECEIVED
from poc.shared.errors import CheckFailed, Interrupted, Terminated, UsageError
from poc.shared.spec.reading.config import parse_value

MESSAGES = {
    "Try --weights FILE (`poc weights convert` makes one).": "Try weights=FILE (`poc weights "
    "convert` makes one).",
    "Got --model a and --student b, two names.": "Got model=a and student=b, two names.",
    "Got no --model and --resume with --data.": "Got no model and resume with data.",
    "Got --data 'folder:x y'.": "Got data='folder:x y'.",
    "Try adding --overwrite to it.": "Try adding overwrite=True to it.",
    "Try --backend torch, or --resume DIR": "Try backend=torch, or resume=DIR",
    "Got --overwrite, which": "Got overwrite=True, which",
    "Try --set model.lineage=keras.": 'Try settings={"model.lineage": keras}.',
    "Try --set image_size=[224, 224].": 'Try settings={"image_size": [224, 224]}.',
    "Got --batch-size 3. Try `poc run --resume DIR`.": "Got batch_size=3. Try `poc run --resume "
    "DIR`.",
    "Try --json or --format onnx.": "Try --json or --format onnx.",
    "in /a--data/x--k": "in /a--data/x--k",
    "Try the folder that --output named.": "Try the folder that output named.",
}


@pytest.mark.parametrize(("message", "expected"), MESSAGES.items())
def test_messages_name_keywords(message, expected):
    assert in_python(message) == expected


def test_options_of_a_model_are_keywords_where_a_call_takes_them():
    text = "Try --set model.lineage=keras, or --set seed=3."
    assert in_python(text, "model.") == 'Try lineage=keras, or settings={"seed": 3}.'
    text = "Got model.k=0 and the unknown key 'model.q' in 'model.pth'. Try --weights model.onnx."
    said = "Got k=0 and the unknown key 'q' in 'model.pth'. Try weights=model.onnx."
    assert in_python(text, "model.") == said
    assert in_python(text) == text.replace("--weights ", "weights=")


@pytest.mark.parametrize("kind", [UsageError, CheckFailed])
def test_errors_keep_their_kind(kind):
    with pytest.raises(kind, match=r"^Got weights=FILE") as caught, python_call():
        raise kind("Got --weights FILE")
    assert caught.value.__cause__ is None


def test_an_interrupt_names_the_call_that_goes_on():
    text = "stopped after step 3, which is saved: go on with "
    for kind in (Interrupted, Terminated):
        with pytest.raises(kind) as caught, python_call():
            raise kind(f"{text}`poc run --resume /runs/a b`")
        assert str(caught.value) == f"{text}poc.run(resume='/runs/a b')"


def test_a_call_is_quiet_unless_asked_and_leaves_no_trace():
    choose(Verbosity.VERBOSE)
    try:
        RECEIVED.append(2)  # a signal of an earlier call
        with python_call():
            assert is_quiet()
            assert RECEIVED == []
        with python_call(verbose=True):
            assert not is_quiet()
    finally:
        choose(Verbosity.NORMAL)


def test_notes_are_kept_once_and_all_events_passed_on():
    passed = []
    notes = Notes(passed.append)
    for event in ("note", "note", "work"):
        notes({"event": event, "text": "sized (--set k=3 chooses)"})
    # In words of Python: a note advises as a message does.
    assert notes.texts == ['sized (settings={"k": 3} chooses)']
    assert passed[0]["text"] == notes.texts[0]
    assert [event["event"] for event in passed] == ["note", "note", "work"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("epoch", r"Try epochs=…"),
        ("num_epochs", r"Try epochs=…"),
        ("precision", r"Try dtype=…"),
        ("dataset", r"Try data=…"),
        ("arch", r"Try model=…"),
        ("lr", r'Try settings=\{"learning_rate": …\}'),
        ("learning_rate", r'Try settings=\{"learning_rate": …\}'),
        ("wieghts", r"Try weights=…"),
        ("batchsize", r"Try batch_size=…"),
        ("qqqqq", r"Try leaving it out"),
    ],
)
def test_an_unknown_keyword_is_refused_with_the_nearest(name, words):
    with pytest.raises(UsageError, match=rf"^Got the unknown keyword '{name}'\. .*{words}"):
        refuse_unknown("poc.run", {"method": "kd", name: 1}, RunKeywords.__annotations__)


def test_a_comparison_has_no_backend_to_set():
    with pytest.raises(UsageError, match=r"^Got the unknown keyword 'backend'") as caught:
        refuse_unknown("poc.compare", {"backend": "tf"}, RunKeywords.__annotations__)
    assert '"backend"' not in str(caught.value)


def test_settings_arrive_as_they_were_given(tmp_path):
    settings = {
        "optimizer.learning_rate": np.float32(0.5),
        "num_epochs": np.int64(3),
        "image_size": (64, 32),
        "shuffle": False,
        "data.source": "folder:3",
        "file": tmp_path / "a b",
        "model.factors": {"block1/conv2": {"rank": 3}},
        "small": 1e-07,
        "model.widths": np.array([8, 16]),
    }
    read = dict(text.split("=", 1) for text in write_settings(settings))
    assert {key: parse_value(text) for key, text in read.items()} == {
        "optimizer.learning_rate": 0.5,
        "num_epochs": 3,
        "image_size": [64, 32],
        "shuffle": False,
        "data.source": "folder:3",
        "file": str(tmp_path / "a b"),
        "model.factors": {"block1/conv2": {"rank": 3}},
        "small": 1e-07,
        "model.widths": [8, 16],
    }


def test_a_setting_of_none_is_refused():
    with pytest.raises(UsageError, match=r"^Got settings with image_size=None"):
        write_settings({"image_size": None})
