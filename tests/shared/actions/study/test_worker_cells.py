"""The run of a cell: its split, seed, epochs and settings."""

from dataclasses import replace

import numpy as np
import pytest

from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.jobs import LARGEST_LOSS, Job, Outcome
from poc.shared.actions.study.proposals import first_proposal
from poc.shared.actions.study.worker_cells import WorkerCells, count_train_images, read_outcome
from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.sources.table import open_source
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.reading.recipe import count_epochs

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
    return WorkerCells(tmp_path, "embedded", 640, "poc study")


def test_a_cell_of_the_search_has_no_test_part(cells):
    run = cells.make_run(make_job())
    assert run.data.split.hold_test_back
    assert (run.backend, run.seed, run.data.source) == ("tf", 0, "embedded")


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


def test_weights_of_no_known_network_are_refused(cells, tmp_path):
    write_arrays(tmp_path / "odd.safetensors", {"odd/kernel": np.zeros((2, 2), np.float32)})
    (head,) = list_candidates([str(tmp_path / "odd.safetensors")], ["logistic"])
    with pytest.raises(UsageError, match="odd"):
        cells.check([make_job(candidate=head, proposal=None)])


def test_the_train_part_is_counted_without_reading_an_image():
    source = open_source("embedded")
    assert 0 < count_train_images(source, PROTOCOL) < len(source)


def test_outcomes_of_rows():
    row = {"status": "finished", "best_val_accuracy": 0.5, "best_val_loss": None}
    assert read_outcome(row, 2.0) == Outcome("finished", 2.0, 0.5, LARGEST_LOSS)
    failed = {"status": "failed", "error": "Got no memory.\nmore"}
    assert read_outcome(failed, 2.0) == Outcome("failed", 2.0, error="Got no memory.")
