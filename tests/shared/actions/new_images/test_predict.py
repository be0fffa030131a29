"""Predictions for new images: the run's own code shows them, and without its data."""

import shutil
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.new_images.predict import predict_images, prepare_images
from poc.shared.actions.new_images.trained_network import read_trained
from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.data.sources.inspection import ignore
from poc.shared.engine.console.work_count import unheard
from poc.shared.engine.folder.decision import write_decision
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.trained_run import open_trained
from poc.shared.errors import UsageError
from poc.tests.faults.test_resume import train
from poc.tests.helpers.commands.processes import stub_environment
from poc.tests.shared.engine.folder.test_decision import make_decision

MODEL = {"name": "lightnet_plain", "options": {"widths": [2, 2], "k": 1}}
# Settings of the data -> the size that the network sees.
VIEWS = {
    "squash": {"image_size": [16, 20]},
    "fit": {"image_size": [16, 16], "eval_view": {"resize": "fit"}, "fill": 255},
    "centre": {"image_size": [12, 12], "eval_view": {"resize": "shorter_side", "crop": "centre"}},
    "ten": {
        "image_size": [12, 12],
        "interpolation": "bicubic",
        "normalization": "torch",
        "eval_view": {"resize": "shorter_side", "crop": "ten"},
    },
    "five": {
        "image_size": [12, 12],
        "eval_view": {"resize": "shorter_side", "crop": "five", "average": "logits"},
    },
    "grey": {"image_size": [16, 16], "channels": 1},
    "unset": {},
}
# For what does not depend on the view.
ONE_VIEW = pytest.mark.parametrize("trained", ["squash"], indirect=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of two classes: colours, grey, transparent and turned ones, of several sizes."""
    root = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(0, 256, (20 + number, 30 - label, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels)
            modes = ("RGB", "L", "RGBA", "P")
            picture = picture.convert(modes[number % 4])
            if picture.mode == "RGBA":
                picture.putalpha(Image.fromarray(pixels[..., 0]))
            exif = picture.getexif()
            exif[0x0112] = 6 if number % 3 == 0 else 1
            picture.save(root / "photos" / name / f"{number}.png", exif=exif)
    return root / "photos"


@pytest.fixture(scope="module", params=VIEWS)
def trained(request, photos, tmp_path_factory):
    """A run of the stub on the photos."""
    folder = tmp_path_factory.mktemp("run") / "run"
    data = {"source": f"folder:{photos}", "batch_size": 7, **VIEWS[request.param]}
    run = {
        "method": "scratch",
        "model": MODEL,
        "data": data,
        "num_epochs": 1,
        "precision": "float64",
    }
    train(folder, run)
    return folder


def files_of_test(folder, photos):
    """The files of the run's test part, in the order in which its predictions are stored."""
    with np.load(folder / "predictions.npz") as stored:
        return [photos / name for name in stored["ids"]], stored["logits"]


def test_images_are_shown_as_the_run_was_tested(trained, photos):
    """Bit for bit: the array that its own pipeline makes of the same files."""
    opened = open_trained(trained)
    with opened.data:
        indices = opened.data.split.test
        pipeline = Pipeline(opened.data.source, indices, opened.run.data)
        expected = np.concatenate([batch.images for batch in pipeline.epoch(0)])
        paths = [photos / opened.data.source.ids[index] for index in indices]
    found = np.concatenate(list(prepare_images(trained, paths, batch_size=3)))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


def test_predictions_are_those_that_the_run_recorded(trained, photos, tmp_path, monkeypatch):
    """In a copy of the folder, far from its data."""
    for name, value in stub_environment(tmp_path, 0).items():
        monkeypatch.setenv(name, value)
    shutil.copytree(trained, tmp_path / "taken")
    record = RunFolder(tmp_path / "taken").read_run()
    record["run"]["data"]["source"] = "folder:/gone"
    RunFolder(tmp_path / "taken").write_run(record)
    paths, logits = files_of_test(trained, photos)
    found = predict_images(tmp_path / "taken", paths, batch_size=7)
    assert found.names == [str(path) for path in paths]
    assert list(found.class_names) == ["cat", "dog"]
    assert np.array_equal(found.logits, logits)
    few = predict_images(tmp_path / "taken", paths[::-1], batch_size=2)
    assert np.abs(few.logits[::-1] - logits).max() < 1e-12


@ONE_VIEW
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, r"^Got batch_size=0\. Expected at least 1"),
        ({"checkpoint": "first"}, r"first\.safetensors', which does not exist"),
    ],
)
def test_wrong_use_is_refused_before_a_process_starts(arguments, words, trained, photos):
    with pytest.raises(UsageError, match=words):
        predict_images(trained, photos / "cat" / "0.png", **arguments)


@ONE_VIEW
def test_a_run_that_never_opened_its_data_is_refused(trained, photos, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    record = RunFolder(tmp_path / "run").read_run()
    record["run"].update(input_shape=None, num_classes=None)
    RunFolder(tmp_path / "run").write_run(record)
    with pytest.raises(UsageError, match="ended before it had opened its data"):
        predict_images(tmp_path / "run", photos)


@ONE_VIEW
def test_memory_is_bounded_by_the_batch(trained, photos, tmp_path):
    """Of ten times as many images, no more are held: what grows is a list of their paths."""
    shutil.copytree(trained, tmp_path / "run")
    record = RunFolder(tmp_path / "run").read_run()
    record["run"]["input_shape"] = [256, 256, 3]
    RunFolder(tmp_path / "run").write_run(record)
    paths = sorted(photos.rglob("*.png"))

    def peak(paths):
        tracemalloc.start()
        for _ in prepare_images(tmp_path / "run", paths, batch_size=4):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(paths)  # imports and caches
    batch_bytes = 4 * 256 * 256 * 3 * 4
    assert peak(paths * 10) < peak(paths) + batch_bytes


@ONE_VIEW
def test_a_decision_scales_and_decides_but_leaves_the_logits(
    trained, photos, tmp_path, monkeypatch
):
    """Its threshold lies between the margins, so that each class is answered."""
    for name, value in stub_environment(tmp_path, 0).items():
        monkeypatch.setenv(name, value)
    shutil.copytree(trained, tmp_path / "run")
    paths, logits = files_of_test(trained, photos)
    margins = np.sort(logits[:, 1] - logits[:, 0])
    cut = float(margins[:2].mean())
    threshold = {"positive": "dog", "rule": "costs", "false_positive_cost": 1.0}
    threshold |= {"false_negative_cost": 1.0, "log_odds": cut / 2, "probability": 0.5}
    names = ["cat", "dog"]
    write_decision(
        tmp_path / "run", make_decision(tmp_path / "run", names=names, threshold=threshold)
    )
    found = predict_images(tmp_path / "run", paths, batch_size=7)
    assert np.array_equal(found.logits, logits)
    assert np.array_equal(found.scaled, logits.astype(np.float64) / 2)
    assert found.answers.tolist() == (logits[:, 1] - logits[:, 0] >= cut).astype(int).tolist()
    assert 0 < found.answers.sum() < len(found.answers)
    plain = predict_images(tmp_path / "run", paths, batch_size=7, use_decision=False)
    assert plain.decision is None
    assert plain.answers.tolist() == logits.argmax(axis=1).tolist()
    assert plain.scaled is plain.logits

    notes = []
    last = predict_images(
        tmp_path / "run", paths, checkpoint="last", report=lambda event: notes.append(event)
    )
    assert last.decision is None
    assert any("decision.json is for the 'best' weights" in event["text"] for event in notes)

    best = RunFolder(tmp_path / "run").best
    best.write_bytes((tmp_path / "run" / "checkpoints" / "last.safetensors").read_bytes() + b" ")
    with pytest.raises(UsageError, match="made for other weights"):
        predict_images(tmp_path / "run", paths)


def test_a_run_with_the_habit_of_its_images_keeps_it(photos, tmp_path, monkeypatch):
    """Evaluation and predictions show images as TensorFlow resizes, also in another backend."""
    for name, value in stub_environment(tmp_path, 0).items():
        monkeypatch.setenv(name, value)
    data = {"source": f"folder:{photos}", "batch_size": 7, "image_size": [8, 8]}
    run = {"method": "scratch", "model": MODEL, "data": data, "num_epochs": 1}
    run |= {"backend": "tf", "precision": "float64", "habits": {"input_pipeline": "native"}}
    train(tmp_path / "run", run)
    images = {}
    for name in ("plain_bilinear", "bilinear"):
        assignments = [] if name == "plain_bilinear" else ["interpolation=bilinear"]
        opened = open_trained(tmp_path / "run", assignments=assignments)
        with opened.data:
            assert opened.run.data.interpolation == name
            assert opened.data.test is not None
            images[name] = np.concatenate([b.images for b in opened.data.test.epoch(0)])
        told = "interpolation is bilinear, was plain_bilinear"
        assert any(told in note for note in opened.notes) == (name == "bilinear")
    assert not np.array_equal(*images.values())
    paths, logits = files_of_test(tmp_path / "run", photos)
    seen = np.concatenate(list(prepare_images(tmp_path / "run", paths, batch_size=3)))
    assert np.array_equal(seen, images["plain_bilinear"])
    network = read_trained(tmp_path / "run", backend="torch", note=ignore)
    with network.start(unheard) as started:
        parts = [started.logits(seen[at : at + 7]) for at in range(0, len(seen), 7)]
    assert np.array_equal(np.concatenate(parts), logits)
