"""The filter that the habit of the images chooses, and runs that resize an image."""

import pytest

from poc.shared.spec.data import DataSpec
from poc.shared.spec.habits.images import is_resized
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.habits import HabitsSpec

NATIVE = "habits.input_pipeline=native"


def filter_of(*settings):
    return load_run(None, ["method=scratch", *settings]).data.interpolation


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["backend=tf"], "bilinear"),
        (["backend=tf", NATIVE], "plain_bilinear"),
        (["backend=tf", "habits=native"], "plain_bilinear"),
        (["backend=tf", "habits=native", "habits.input_pipeline=common"], "bilinear"),
        (["backend=tf", NATIVE, "data.interpolation=bilinear"], "plain_bilinear"),
        (["backend=torch", NATIVE], "bilinear"),
        ([NATIVE], "bilinear"),
        # A filter that is set is one of the common rules, in both backends.
        (["backend=torch", "data.interpolation=plain_bilinear"], "plain_bilinear"),
        (["backend=tf", "data.interpolation=bicubic"], "bicubic"),
    ],
)
def test_the_filter_of_a_run(settings, expected):
    assert filter_of(*settings) == expected


def test_a_record_gives_the_same_run_and_the_other_backend_its_own_filter():
    run = load_run(None, ["method=scratch", "backend=tf", NATIVE])
    assert RunSpec.parse(run.model_dump(mode="json"), "") == run
    other = run.replace(backend="torch")
    assert other.data.interpolation == "bilinear"
    assert other.replace(backend="tf") == run
    named = {"input_pipeline": "native", "framework": "tf"}
    assert run.replace(backend="torch", habits=named).data.interpolation == "plain_bilinear"


def test_settings_that_are_objects_are_read_too():
    habits, data = HabitsSpec(input_pipeline="native"), DataSpec(image_size=(8, 9))
    run = RunSpec(method="scratch", backend="tf", habits=habits, data=data)
    assert (run.data.interpolation, run.data.image_size) == ("plain_bilinear", (8, 9))


@pytest.mark.parametrize(
    ("settings", "stored", "expected"),
    [
        ([], (28, 28, 1), False),
        ([], None, True),
        (["image_size=[28,28]"], (28, 28, 1), False),
        (["image_size=[28,27]"], (28, 28, 1), True),
        (["train_view.crop=padded"], (28, 28, 1), False),
        (["train_view.crop=random_resized"], (28, 28, 1), True),
        (["eval_view.crop=centre"], (28, 28, 1), True),
        (["eval_view.crop=centre", "eval_view.crop_share=1"], (28, 28, 1), False),
    ],
)
def test_runs_that_resize(settings, stored, expected):
    run = load_run(None, ["method=scratch", *settings])
    assert is_resized(run, stored) == expected


def test_fixres_trains_and_tests_at_sizes_of_its_own():
    assert is_resized(load_run(None, ["method=fixres", "model=resnet18"]), (224, 224, 3))
