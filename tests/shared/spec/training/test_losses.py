"""The settings of the loss: what they take, what they refuse, and what excludes each other."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.run import RunSpec


def parse(**loss):
    return RunSpec.parse({"loss": loss}, "").loss


def test_the_default_is_the_plain_cross_entropy():
    loss = RunSpec.parse({}, "").loss
    assert loss.model_dump(mode="json") == {
        "name": "cross_entropy",
        "focal_gamma": 2.0,
        "class_weights": None,
        "label_smoothing": 0.0,
    }
    assert loss.weights_of(10) is None


@pytest.mark.parametrize("weights", ["balanced", (1.0, 0.0, 2.5), None])
def test_weights_survive_a_stored_run(weights):
    run = RunSpec.parse({"loss": {"class_weights": weights}}, "")
    again = RunSpec.parse(run.model_dump(mode="json"), "")
    assert again.loss.class_weights == weights
    assert again == run


def test_they_are_set_on_the_command_line():
    run = load_run(None, ["loss.name=focal", "focal_gamma=1.5", "class_weights=[1, 3]"])
    assert (run.loss.name, run.loss.focal_gamma) == ("focal", 1.5)
    assert run.loss.weights_of(2) == (1.0, 3.0)
    assert load_run(None, ["loss.class_weights=balanced"]).loss.class_weights == "balanced"


WRONG = [
    *("even", [], [0, 0.0], [1.0, -0.5], [1.0, float("nan")], [1.0, float("inf")]),
    *([1, "2"], [True, 1], {"cat": 2}, 3.0, False),
]


@pytest.mark.parametrize("weights", WRONG, ids=str)
def test_wrong_weights_are_refused(weights):
    with pytest.raises(UsageError) as caught:
        parse(class_weights=weights)
    message = str(caught.value)
    assert message.startswith("Got loss.class_weights=")
    assert "Expected balanced, or a list of one number per class" in message
    assert message.endswith("Try loss.class_weights=balanced.")


@pytest.mark.parametrize("weights", [[1.0, 1e308], [1.0, 1.1e9], [1e-320, 1.0]], ids=str)
def test_weights_that_overflow_or_vanish_are_refused(weights):
    with pytest.raises(UsageError) as caught:
        parse(class_weights=weights)
    message = str(caught.value)
    assert "Expected 0 or numbers from 1e-09 to 1e+09, since only their ratios count." in message
    assert message.endswith("Try dividing all of them by the largest one.")
    assert parse(class_weights=[0.0, 1e-9, 1e9]).weights_of(3) == (0.0, 1e-9, 1e9)


@pytest.mark.parametrize(
    ("key", "value"), [("label_smoothing", 1.0), ("label_smoothing", -0.1), ("focal_gamma", -1)]
)
def test_numbers_outside_their_bounds_are_refused(key, value):
    with pytest.raises(UsageError, match=f"Got loss.{key}={value}"):
        parse(**{key: value})


def test_a_list_of_another_length_is_refused():
    with pytest.raises(UsageError, match=r"of length 2, for 3 classes\. Expected one number per"):
        parse(class_weights=[1.0, 2.0]).weights_of(3)


def test_weights_that_nobody_has_counted_are_refused():
    with pytest.raises(UsageError, match="'balanced' where no training images are counted"):
        parse(class_weights="balanced").weights_of(3)


SOFT = {
    "loss.label_smoothing=0.1": {"loss": {"name": "focal", "label_smoothing": 0.1}},
    "data.train_view.mixup=0.4": {"data": {"train_view": {"mixup": 0.4}}},
    "data.train_view.cutmix=1": {"data": {"train_view": {"cutmix": 1.0}}},
}


@pytest.mark.parametrize("key", SOFT)
def test_focal_loss_of_soft_labels_is_refused(key):
    settings = {"loss": {"name": "focal"}, **SOFT[key]}
    with pytest.raises(UsageError, match=f"'focal' with {key}, which makes labels soft"):
        RunSpec.parse(settings, "")
    RunSpec.parse({**settings, "loss": {**settings["loss"], "name": "cross_entropy"}}, "")
