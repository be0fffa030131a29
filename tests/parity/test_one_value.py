"""A last batch of one image on a map of 1x1: computed equally, said, and refused where all are."""

import json

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.resolving.single_values import check_single_values
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.run import RunSpec

# The ladder allows 1e-9 after 50 steps in float64; these are three, of few values a batch norm.
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """9 training images, whose last batch of 4 is one image."""
    random, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 9), ("val", 6), ("test", 6)):
        arrays[f"{part}_images"] = random.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
        arrays[f"{part}_labels"] = np.arange(count) % 2
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


def spec_of(source, **fields):
    data = {"source": source, "batch_size": 4, **fields.pop("data", {})}
    return RunSpec.parse(
        {
            "method": "scratch",
            "model": {"name": "resnet18", "options": {"width": 4}},
            "data": data,
            "num_epochs": 1,
            # Adam would follow rounding where a gradient is next to nothing.
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "early_stopping": {"min_validation_images": 0},
            "precision": "float64",
            **fields,
        },
        "",
    )


def train(worker, folder, run):
    output = RunFolder.create(folder)
    worker.call(
        Operations.train,
        run={**run.model_dump(mode="json"), "backend": worker.backend},
        folder=str(output.path),
        command="test",
        save_every="10min",
    )
    notes = json.loads((folder / "run.json").read_text())["data"]["notes"]
    return read_arrays(output.checkpoints / "best.safetensors"), notes


@pytest.mark.parity
@pytest.mark.parametrize("norm_statistics", ["running", "exact"])
def test_both_backends_compute_it_equally(norm_statistics, workers, tmp_path, source):
    run = spec_of(source, num_epochs=1, norm_statistics=norm_statistics)
    (first, notes), (second, other_notes) = (
        train(worker, tmp_path / worker.backend, run) for worker in workers
    )
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert np.isfinite(value).all(), name
        scale = max(np.abs(second[name]).max(), 1e-6)
        assert np.abs(value - second[name]).max() < TOLERANCE * scale, name
    said = [note for note in notes if "one image" in note]
    assert said == [note for note in other_notes if "one image" in note]
    assert len(said) == 1
    assert "The last of the 3 batches of 4 is one image (9 in all)" in said[0]
    assert "(a map of 1x1)" in said[0]


@pytest.mark.parity
def test_one_image_in_every_batch_is_refused_by_both(workers, tmp_path, source):
    run = spec_of(source, data={"batch_size": 1})
    for worker in workers:
        with pytest.raises(UsageError) as caught:
            train(worker, tmp_path / worker.backend, run)
        assert "Got data.batch_size=1 for 9 training images" in str(caught.value)
        assert "(a map of 1x1)" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "is_told"),
    [
        ({}, True),
        ({"data": {"drop_last": True}}, False),
        ({"data": {"batch_size": 5}}, False),
        # A last map of 2x2 gives four values.
        ({"data": {"image_size": [64, 64]}}, False),
        (
            {
                "model": {"name": "vgg16", "options": {"width": 0.05}},
                "data": {"image_size": [32, 32]},
            },
            False,
        ),
    ],
)
def test_what_is_told(fields, is_told, source):
    run, data = resolve(spec_of(source, **fields))
    with data:
        assert bool(check_single_values(run, data.train)) == is_told
