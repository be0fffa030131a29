"""What is refused of a method: terms of a wrong shape, kept outputs that relate images."""

from pathlib import Path

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import DEFAULT
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.tests.conftest import start_worker, write_interpreter
from poc.tests.helpers.workers import planted_objectives

NET = {
    "name": "lightnet_plain",
    "options": {"layer": "conv2d", "head": "dense", "widths": [3, 4], "dropout": 0.0},
}
SIZE = 6
generator = np.random.default_rng(0)
BATCH = {
    "images": generator.normal(size=(SIZE, 10, 9, 2)).astype(np.float32),
    "labels": generator.integers(0, 3, SIZE),
}
WRONG = {"scalar": "()", "column": "(6, 1)", "pairs": "(6, 6)", "part": "(2,)"}


@pytest.fixture(scope="module")
def planted(backend, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"{backend}_planted")
    script = Path(planted_objectives.__file__)
    interpreter = write_interpreter(folder / "python", script)
    with start_worker(
        backend, folder, **{f"POC_{backend.upper()}_PYTHON": str(interpreter)}
    ) as worker:
        yield worker


def make_run(method, **fields):
    values = {
        "method": method,
        "model": NET,
        "input_shape": [10, 9, 2],
        "num_classes": 3,
        "precision": "float64",
        "optimizer": {"name": "sgd"},
    }
    return RunSpec.parse({**values, **fields}, "")


def call(worker, operation, run, **arguments):
    own = {**run.model_dump(mode="json"), "backend": worker.backend}
    return worker.call(operation, run=own, **arguments)


@pytest.mark.parametrize("form", WRONG)
def test_a_term_of_another_shape_is_refused_by_name(form, planted):
    """In a step, and where the parity ladder asks for gradients."""
    planted.call(planted_objectives.plant_term, form=form)
    run, found = make_run("scratch"), []
    with pytest.raises(CheckFailed) as caught:
        call(planted, planted_objectives.step_once, run, **BATCH)
    found.append(str(caught.value))
    weights = draw_weights(declare_network(run).parameters, 0)
    with pytest.raises(CheckFailed) as caught:
        call(planted, Operations.loss_and_gradients, run, weights=weights, batch=BATCH)
    found.append(str(caught.value))
    start = f"Got from the method scratch the loss term 'relation' with the shape {WRONG[form]}. "
    assert found[0].startswith(start + "Expected (6,), one value per example.")
    assert found[1] == found[0]


def test_a_method_with_an_update_of_its_own_is_no_exception(planted):
    planted.call(planted_objectives.plant_term, form="column")
    run = make_run("l2t-ww", teacher={"model": NET}, mode="eager")
    with pytest.raises(CheckFailed, match=r"l2t-ww .* 'matching' with the shape \(6, 1\)"):
        call(planted, planted_objectives.step_once, run, **BATCH)


def test_the_shares_of_a_loss_over_the_batch_have_it_as_their_mean(planted):
    """The mean of v_i * v_j over all pairs is the square of the mean of v."""
    planted.call(planted_objectives.plant_term, form="share")
    metrics = call(planted, planted_objectives.step_once, make_run("scratch"), **BATCH)
    assert metrics["loss_hard"] > 0.5
    assert metrics["loss_relation"] == pytest.approx(metrics["loss_hard"] ** 2, rel=1e-12)
    assert metrics["loss"] == pytest.approx(metrics["loss_hard"] + metrics["loss_relation"])


@pytest.mark.parametrize("form", ["pairs", "mean of a row", "less the mean"])
def test_a_run_that_would_keep_what_relates_its_images_is_refused(form, planted, tmp_path):
    """At the first look-up: (N, N) would come back by row, with the columns of another batch."""
    planted.call(planted_objectives.plant_output, form=form)
    with pytest.raises(UsageError, match=r"teacher\.cache .* no image's own: 'relation'"):
        train_distilled(planted, tmp_path)


def test_a_run_that_keeps_a_further_output_of_each_image_trains(planted, tmp_path):
    planted.call(planted_objectives.plant_output, form="itself")
    assert train_distilled(planted, tmp_path)["num_epochs"] == 2


def train_distilled(worker, folder):
    """Two epochs of distillation from a teacher whose outputs are kept."""
    source = make_run("scratch", input_shape=[28, 28, 1], num_classes=10)
    path = folder / "teacher.safetensors"
    write_arrays(path, draw_weights(declare_network(source).parameters, 9))
    run = RunSpec.parse(
        {
            "method": "kd",
            "backend": worker.backend,
            "model": NET,
            "teacher": {"weights": str(path), "model": NET, "cache": True},
            "data": {"split": {"train_per_class": 4}, "batch_size": 8},
            "num_epochs": 2,
        },
        "",
    )
    output = RunFolder.create(folder / str(len(list(folder.iterdir()))))
    return worker.call(
        Operations.train,
        run=run.model_dump(mode="json"),
        folder=str(output.path),
        command="",
        save_every=DEFAULT,
    )


# What methods keep, each in its stages; the others keep nothing.
KEEPING = [
    name
    for name, method in METHODS.items()
    if method.distillation is not None or method.fine_tuning is not None
]


@pytest.mark.parametrize("method", KEEPING)
def test_what_present_methods_keep_is_an_images_own(method, planted):
    planted.call(planted_objectives.uproot)
    fields = {"precision": "float32", "num_epochs": 3}
    if METHODS[method].distillation is not None:
        fields["teacher"] = {"model": NET}
    if method == "fixres":
        fields["method_options"] = {"train_size": 9, "test_size": 10, "finetune_epochs": 1}
        fields["input_shape"] = [10, 10, 2]
    if METHODS[method].fits_head:
        # No settings of steps, which the method has not.
        fields |= {"num_epochs": 1, "optimizer": {}}
    run = make_run(method, **fields)
    names = []
    for stage in run.stages:
        part = run.at_stage(stage.name)
        images = generator.normal(size=(SIZE, *part.input_shape)).astype(np.float32)
        found = call(planted, planted_objectives.keep_once, part, images=images)
        assert all(found.values()), found
        names += found
    assert names


def test_a_tree_without_the_objective_of_a_method_says_so(planted):
    planted.call(planted_objectives.remove_objective, name="kd")
    run = make_run("kd", teacher={"model": NET})
    try:
        with pytest.raises(UsageError) as caught:
            call(planted, planted_objectives.step_once, run, **BATCH)
    finally:
        planted.call(planted_objectives.uproot)
    tree = f"{planted.backend}_impl"
    assert f"'kd', whose objective 'kd' {tree} does not have" in str(caught.value)
    assert f"of OBJECTIVES in {tree}/methods/__init__.py" in str(caught.value)
