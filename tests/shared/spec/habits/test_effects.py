"""Habits that change a run: known networks and settings, and those that a run cannot have."""

import pytest

from poc.shared.spec.habits.effects import NOT_RESIZED, UNCHANGED, leave_out
from poc.shared.spec.reading.config import load_run


def left_out(*settings, model="vgg9_bn", shape=(32, 32, 3), stored=(32, 32, 3)):
    run = load_run(None, ["method=scratch", f"model={model}", *settings])
    return leave_out([run], run.model_spec.declare(shape, 10), stored)


@pytest.mark.parametrize(
    ("model", "acting"),
    [
        # Windows of stride 1 with symmetric pads are the same in both frameworks.
        ("vgg9_bn", {"optimizer", "batch_norm", "initializers"}),
        # With stride 2, `same` pads the other side.
        ("resnet32_cifar", {"optimizer", "batch_norm", "initializers", "padding"}),
        ("densenet_cifar", {"optimizer", "batch_norm", "initializers"}),
        ("simple_cnn", {"optimizer", "batch_norm", "initializers", "dropout"}),
    ],
)
def test_networks(model, acting):
    every = {"regularization", "loss", "optimizer", "batch_norm", "initializers", "padding"}
    found = left_out(model=model)
    assert found.pop("input_pipeline") == NOT_RESIZED
    assert every | {"dropout"} == acting | set(found)
    assert set(found.values()) == {UNCHANGED}


def test_settings_make_habits_act():
    assert "regularization" not in left_out("optimizer.weight_decay=1e-4")
    assert "regularization" in left_out("optimizer.weight_decay=1e-4", "optimizer.name=adamw")
    assert "loss" not in left_out("loss.class_weights=balanced")


def test_a_resize_makes_the_habit_of_the_images_act():
    assert "input_pipeline" not in left_out("image_size=[32,32]", stored=(28, 28, 3))
    assert "input_pipeline" not in left_out(stored=None)
    found = left_out("interpolation=bicubic", stored=None)
    assert "data.interpolation=bicubic" in found["input_pipeline"]


def test_a_refused_habit_has_its_reason():
    found = left_out("norm_statistics=exact")
    assert "norm_statistics=exact" in found["batch_norm"]


def test_one_run_of_several_is_enough():
    runs = [
        load_run(None, ["method=scratch", "model=vgg9_bn", f"optimizer.weight_decay={decay}"])
        for decay in (0.0, 1e-4)
    ]
    assert "regularization" not in leave_out(
        runs, runs[0].model_spec.declare((32, 32, 3), 10), (32, 32, 3)
    )
