"""Settings of training steps are refused for a head that is computed in one pass."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.fitted_heads import STEP_GROUPS, STEP_SETTINGS, is_step
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.keys import list_keys

REFUSED = {
    "optimizer.clip_norm=1": "optimizer.clip_norm=1.0",
    "optimizer.learning_rate=0.1": "optimizer.learning_rate=0.1",
    "schedule.name=cosine": "schedule.name=cosine",
    "ema.decay=0.9": "ema.decay=0.9",
    "num_epochs=3": "num_epochs=3",
    "norm_statistics=exact": "norm_statistics=exact",
    "early_stopping.patience=3": "early_stopping.patience=3",
    "data.drop_last=true": "data.drop_last=True",
    "data.sampling=balanced": "data.sampling=balanced",
    "loss.class_weights=balanced": "loss.class_weights=balanced",
    "loss.label_smoothing=0.1": "loss.label_smoothing=0.1",
    "loss.name=binary_cross_entropy": "images with any number of labels",
    "train_view.mixup=0.2": "random views",
    "train_view.horizontal_flip=0.5": "random views",
    "eval_view.crop=ten": "data.eval_view.crop='ten'",
    "split.val_on_test=true": "data.split.val_on_test=true",
    "teacher.weights=FILE": "a teacher",
}


@pytest.mark.parametrize("method", ["logistic", "knn"])
@pytest.mark.parametrize("assignment", REFUSED)
def test_it_is_refused_in_one_sentence_of_three_parts(assignment, method):
    with pytest.raises(UsageError) as caught:
        load_run(None, [f"method={method}", assignment])
    text = str(caught.value)
    assert text.startswith(f"Got {REFUSED[assignment]}")
    assert text.index(". Expected ") < text.index(". Try ")
    assert f"'{method}'" in text


@pytest.mark.parametrize("method", ["logistic", "knn"])
def test_everything_else_is_taken(method):
    taken = ["eval_view.crop=centre", "seed=3", "data.batch_size=7", "min_validation_images=10"]
    run = load_run(None, [f"method={method}", *taken, "early_stopping.metric=val/accuracy"])
    assert run.num_epochs == 1
    # The one stage sees the training images as the evaluation sees its own.
    view = run.at_stage("").data.train_view
    assert (view.crop, view.is_random) == ("centre", False)
    assert load_run(None, ["method=transfer", "num_epochs=3"]).num_epochs == 3


def test_the_named_settings_exist():
    keys = {row["key"] for row in list_keys("logistic")}
    assert set(STEP_SETTINGS) <= keys
    assert all(any(key.startswith(f"{group}.") for key in keys) for group in STEP_GROUPS)
    assert is_step("optimizer.momentum")
    assert is_step("data.train_view.crop")
    assert not is_step("early_stopping.metric")
