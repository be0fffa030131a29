"""The run of a cell: its split, seed, epochs and settings."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.jobs import LARGEST_LOSS, Job, Outcome
from poc.shared.actions.study.proposals import VIEWS, first_proposal
from poc.shared.actions.study.searching.forecasts import Images
from poc.shared.actions.study.searching.resolutions import settle_sizes
from poc.shared.actions.study.searching.students import list_students
from poc.shared.actions.study.worker_cells import WorkerCells, describe_images, read_outcome
from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.sources.table import open_source
from poc.shared.data.views.object_size import ideal_ratio
from poc.shared.engine.launch.executors import make_executor
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.reading.recipe import count_epochs, count_finetune_epochs

IMAGES = Images(640, (32, 32, 3), 4)
PROTOCOL = choose_protocol(open_source("embedded"), Question())


def make_job(**changes):
    fields = {
        "phase": "search",
        "candidate": list_candidates((), ["scratch"])[0],
        "backend": "tf",
        "split": PROTOCOL.cells[0].search_split,
        "seed": 0,
        "place": "trial=0",
        "proposal": first_proposal("normed"),
        "share": 0.25,
    }
    return Job(**{**fields, **changes})


@pytest.fixture
def cells(tmp_path):
    return WorkerCells(tmp_path, "embedded", IMAGES, "poc study")


def test_a_cell_of_the_search_has_no_test_part(cells):
    run = cells.make_run(make_job())
    assert run.data.split.hold_test_back
    assert (run.backend, run.seed, run.data.source) == ("tf", 0, "embedded")


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((32, 48, 3), None),
        ((128, 128, 1), None),
        # Photos of one camera, and of several.
        ((3024, 4032, 3), (64, 64)),
        (None, (64, 64)),
    ],
)
def test_small_nets_see_large_images_at_a_stated_size(shape, size, tmp_path):
    cells = WorkerCells(tmp_path, "embedded", Images(640, shape, 4), "poc study")
    assert cells.make_run(make_job()).data.image_size == size


def test_a_cell_has_its_share_of_the_recipes_epochs(cells):
    """640 images are 20 batches of 32."""
    whole = count_epochs("normed", 20)
    run = cells.make_run(make_job())
    assert run.num_epochs == whole / 4
    assert "num_epochs" not in run.open_settings
    assert "num_epochs" in cells.make_run(make_job(share=1.0)).open_settings


def test_a_final_cell_has_the_protocols_split_and_seed(cells):
    cell = PROTOCOL.cells[1]
    run = cells.make_run(make_job(phase="finals", split=cell.split, seed=cell.seed))
    assert (run.data.split, run.seed) == (cell.split, cell.seed)


def test_weights_that_name_no_view_get_the_size_of_their_publication(cells, tmp_path):
    """ResNet-18 was published with images of 224 pixels."""
    network = ModelSpec(name="resnet18", options={"width": 4}).declare((224, 224, 3), 5)
    path = tmp_path / "body.safetensors"
    write_arrays(path, draw_weights(network.parameters, 0))
    (head,) = list_candidates([str(path)], ["logistic"])
    settings = (*head.settings, "model.name=resnet18", "model.options.width=4")
    job = make_job(candidate=replace(head, settings=settings), proposal=None)
    assert cells.make_run(job).data.image_size == (224, 224)
    assert any("name no view" in note for note in cells.notes)


@pytest.mark.parametrize(("share", "epochs"), [(1 / 8, (4, 2)), (1 / 32, (1, 1))])
def test_fixres_has_its_share_of_both_phases(cells, tmp_path, share, epochs):
    """640 images are 20 batches of 32: the recipe has 30 epochs, and 5 of the second phase."""
    network = ModelSpec(name="resnet32_cifar").declare((32, 32, 3), 5)
    path = tmp_path / "body.safetensors"
    write_arrays(path, draw_weights(network.parameters, 0))
    (fixres,) = settle_sizes(list_candidates([str(path)], ["fixres"]), {})
    job = make_job(candidate=fixres, proposal=first_proposal("tuned"), share=share)
    assert (count_epochs("tuned", 20), count_finetune_epochs("tuned", 20)) == (30, 5)
    run = cells.make_run(job)
    last = run.method_settings.finetune_epochs
    assert (run.num_epochs - last, last) == (math.ceil(30 * share), math.ceil(5 * share))
    assert run.data.image_size is None
    assert not {"num_epochs", "method_options.finetune_epochs"} & set(run.open_settings)
    assert cells.count_work(job) > 0


CENTRE = {"resize": "shorter_side", "crop": "centre", "crop_share": 0.875}


@pytest.mark.parametrize("proposed", VIEWS)
@pytest.mark.parametrize("weights_view", [{}, {"eval_view": CENTRE}], ids=["squashed", "cropped"])
def test_fixres_trains_at_the_size_that_its_own_crop_asks_for(
    proposed, weights_view, cells, tmp_path
):
    """Whatever view the search proposes, objects look as large in training as in the test."""
    network = ModelSpec(name="resnet32_cifar").declare((32, 32, 3), 5)
    path = tmp_path / "body.safetensors"
    texts = {"model": "resnet32_cifar"}
    view = {"image_size": [96, 96], **weights_view}
    weights = draw_weights(network.parameters, 0)
    write_arrays(path, weights, view=json.dumps(view), **texts)
    (fixres,) = settle_sizes(list_candidates([str(path)], ["fixres"]), {})
    proposal = {**first_proposal("tuned"), "view": proposed}
    run = cells.make_run(make_job(candidate=fixres, proposal=proposal))
    data, options = run.data, run.method_settings
    assert (data.train_view.crop, data.train_view.area) == ("random_resized", (0.08, 1.0))
    crop_share = data.eval_view.crop_share if weights_view else 1.0
    assert data.eval_view.crop == ("centre" if weights_view else "none")
    sizes = options.train_size, options.test_size
    ratio = ideal_ratio(*sizes, crop_share=crop_share, area=data.train_view.area)
    assert abs(ratio - 1) < 0.1
    assert data.train_view.horizontal_flip == 0.5
    assert data.train_view.contrast == (0.3 if proposed == "strong" else 0)


def test_a_student_sees_the_images_of_its_teacher(cells, tmp_path):
    network = ModelSpec(name="resnet32_cifar").declare((32, 32, 3), 5)
    path = tmp_path / "body.safetensors"
    write_arrays(path, draw_weights(network.parameters, 0))
    head = list_candidates([str(path)], ["logistic"])[0]
    settings = (*head.settings, "data.normalization=torch", "data.fill=255")
    teacher = make_job(candidate=replace(head, settings=settings), proposal=None, share=1.0)
    student = next(list_students(head))
    job = make_job(candidate=student, teacher=teacher)
    run, taught = cells.make_run(job), cells.make_run(teacher)
    assert run.teacher.weights == str((tmp_path / teacher.key).resolve())
    assert run.initial_weights is None
    assert run.data.image_size == taught.data.image_size == (32, 32)
    assert (run.data.normalization, run.data.fill) == ("torch", 255)
    assert run.data.batch_size == first_proposal("normed")["batch_size"]
    assert cells.count_work(job) > cells.count_work(teacher)


def test_weights_of_no_known_network_are_refused(cells, tmp_path):
    write_arrays(tmp_path / "odd.safetensors", {"odd/kernel": np.zeros((2, 2), np.float32)})
    (head,) = list_candidates([str(tmp_path / "odd.safetensors")], ["logistic"])
    with pytest.raises(UsageError, match="odd"):
        cells.check([make_job(candidate=head, proposal=None)])


def test_the_train_part_is_counted_without_reading_an_image():
    source = open_source("embedded")
    images = describe_images(source, PROTOCOL)
    assert 0 < images.num_train < len(source)
    assert (images.shape, images.num_classes) == (source.image_shape, len(source.class_names))


def test_outcomes_of_rows():
    row = {"status": "finished", "best_val_accuracy": 0.5, "best_val_loss": None}
    assert read_outcome(row, 2.0) == Outcome("finished", 2.0, 0.5, LARGEST_LOSS)
    failed = {"status": "failed", "error": "Got no memory.\nmore"}
    assert read_outcome(failed, 2.0) == Outcome("failed", 2.0, error="Got no memory.")


@pytest.mark.torch
@pytest.mark.slow
def test_a_cell_on_a_cluster_ends_like_one_of_this_machine(tmp_path):
    """The limit is kept there too: the cell is a row that was stopped."""
    job = make_job(backend="torch", share=1 / 32)
    here = WorkerCells(tmp_path / "here", "embedded", IMAGES, "poc study").run(job, 300)
    executor = make_executor("ray")
    there = WorkerCells(tmp_path / "there", "embedded", IMAGES, "poc study", executor)
    with executor.held():
        stopped = there.run(make_job(backend="torch", seed=1), 1.0)
        found = there.run(job, 300)
    assert (stopped.status, stopped.error) == ("stopped", "stopped after 1 s")
    assert found.status == here.status == "finished"
    assert (found.accuracy, found.loss) == (here.accuracy, here.loss)
