"""Runs that cannot follow a habit are refused, by name and with a way out."""

import numpy as np
import pytest

from poc.shared.actions.comparison import check_parity
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.habits.rules import describe_resume
from poc.shared.spec.run import RunSpec
from poc.shared.weights.lineage import read_weights_of, weight_metadata

SCRATCH = {"method": "scratch", "model": {"name": "resnet18"}}
# Habit -> settings that exclude it.
REFUSED = [
    ("batch_norm", {**SCRATCH, "initial_weights": "w.safetensors"}),
    ("padding", {**SCRATCH, "initial_weights": "imagenet"}),
    ("initializers", {**SCRATCH, "initial_weights": "imagenet"}),
    ("initializers", {**SCRATCH, "method": "transfer"}),
    (
        "initializers",
        {**SCRATCH, "model": {"name": "resnet18", "factor_initializer": "spectral"}},
    ),
    ("batch_norm", {**SCRATCH, "norm_statistics": "exact"}),
    ("loss", {**SCRATCH, "loss": {"name": "focal"}}),
    ("optimizer", {**SCRATCH, "precision": "float16"}),
    ("optimizer", {**SCRATCH, "optimizer": {"accumulation_steps": 2}}),
    ("regularization", {**SCRATCH, "optimizer": {"clip_norm": 1.0}}),
    ("input_pipeline", {**SCRATCH, "data": {"interpolation": "bicubic"}}),
    ("input_pipeline", {**SCRATCH, "data": {"interpolation": "nearest"}}),
    ("dropout", {"method": "l2t-ww"}),
    ("optimizer", {"method": "l2t-ww"}),
    ("regularization", {"method": "l2t-ww"}),
]


@pytest.mark.parametrize(("habit", "settings"), REFUSED)
def test_a_habit_that_cannot_hold_is_refused(habit: str, settings: dict) -> None:
    RunSpec.parse(settings, "")
    with pytest.raises(UsageError, match=rf"habits\.{habit}=native with .*Try") as error:
        RunSpec.parse({**settings, "habits": {habit: "native"}}, "")
    assert f"habits.{habit}=common" in str(error.value)


@pytest.mark.parametrize("backend", ["tf", "torch"])
def test_all_habits_fit_a_plain_run(backend: str) -> None:
    assert RunSpec.parse({**SCRATCH, "habits": "native", "backend": backend}, "").habits.native


def test_weights_to_start_from_go_with_the_habit_of_the_images() -> None:
    run = {**SCRATCH, "initial_weights": "imagenet", "habits": {"input_pipeline": "native"}}
    assert RunSpec.parse(run, "").habits.native == ("input_pipeline",)


def test_a_resume_tells_that_masks_are_others() -> None:
    assert describe_resume(RunSpec.parse(SCRATCH, "")) is None
    native = RunSpec.parse({**SCRATCH, "habits": {"dropout": "native"}}, "")
    assert "from the checkpoint on" in (describe_resume(native) or "")


def test_parity_is_not_checked_with_native_habits() -> None:
    run = RunSpec.parse({**SCRATCH, "habits": {"loss": "native"}}, "")
    with pytest.raises(UsageError, match=r"habits\.loss.*meant to differ.*--no-parity"):
        check_parity(run)


def test_weights_of_a_network_with_habits_are_marked_and_refused(tmp_path) -> None:
    run = RunSpec.parse({**SCRATCH, "backend": "tf", "habits": {"padding": "native"}}, "")
    marked = weight_metadata(run.model_spec, habits=run.network_habits)
    assert marked["habits"] == "padding of tf"
    assert "habits" not in weight_metadata(run.model_spec)
    path = tmp_path / "w.safetensors"
    write_arrays(path, {"a": np.zeros(2, np.float32)}, **marked)
    with pytest.raises(UsageError, match="the habits padding of tf"):
        read_weights_of(run.model_spec, path)
