"""`predict` and `prepare_images`: tables of answers, with the stub in place of the framework."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from poc.shared.api.predictions import predict, prepare_images
from poc.shared.api.results import RunResult
from poc.shared.engine.export.runtimes import open_file
from poc.shared.engine.folder.decision import write_decision
from poc.shared.errors import UsageError
from poc.tests.faults.test_resume import train
from poc.tests.helpers.commands.processes import stub_environment
from poc.tests.helpers.export.small_onnx import default_spec, write_file
from poc.tests.shared.engine.folder.test_decision import make_decision


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A run of the stub on a folder of photos."""
    root = tmp_path_factory.mktemp("predictions")
    draw = np.random.default_rng(0)
    for name in ("cat", "dog", "label"):
        (root / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = draw.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name / f"{number}.png")
    (root / "photos" / "cat" / "readme.txt").write_text("cats")
    run = {
        "method": "scratch",
        "model": {"name": "lightnet_plain", "options": {"widths": [2, 2], "k": 1}},
        "data": {"source": f"folder:{root}/photos", "batch_size": 8, "image_size": [16, 16]},
        "num_epochs": 1,
        "precision": "float64",
    }
    return RunResult.of_row(train(root / "run", run))


@pytest.fixture(autouse=True)
def stubbed(tmp_path, monkeypatch):
    for name, value in stub_environment(tmp_path, 0).items():
        monkeypatch.setenv(name, value)


def test_answers_are_those_of_the_run(result):
    """Every file of the test part, by the run's record and by the call."""
    expected = result.predictions
    photos = result.folder.parent / "photos"
    table = predict(result.folder, [photos / name for name in expected["id"]], batch_size=8)
    assert table.columns.tolist() == ["file", "label", "cat", "dog", "class label"]
    assert table["file"].tolist() == [str(photos / name) for name in expected["id"]]
    assert table["label"].tolist() == expected["label"].tolist()
    shares = table[["cat", "dog", "class label"]].to_numpy()
    assert np.abs(shares - expected[["cat", "dog", "class label"]].to_numpy()).max() < 1e-12
    assert np.abs(shares.sum(axis=1) - 1).max() < 1e-12


def test_kinds_of_images_in_one_list(result, capfd):
    photos = result.folder.parent / "photos"
    path = photos / "cat" / "3.png"
    with Image.open(path) as picture:
        array = np.asarray(picture)
        table = predict(str(result.folder), [path, picture, array, np.stack([array, array])])
    assert table["file"].tolist() == [str(path), 1, 2, 3, 4]
    assert table.drop(columns="file").drop_duplicates().shape[0] == 1
    assert capfd.readouterr() == ("", "")


def test_files_of_a_folder_that_are_no_images_are_told(result):
    photos = result.folder.parent / "photos"
    with pytest.warns(UserWarning, match=r"1 file that is no image \(1 \.txt\)") as caught:
        table = predict(result.folder, photos)
    assert caught[0].filename == __file__
    assert len(table) == 30
    assert table["file"][0] == str(photos / "cat" / "0.png")


def test_progress_is_printed_where_it_is_asked_for(result, capfd):
    predict(result.folder, result.folder.parent / "photos" / "cat", verbose=True)
    assert "no image" in capfd.readouterr().err


def test_prepared_images_are_what_the_network_sees(result):
    pixels = np.full((16, 16, 3), 51, dtype=np.uint8)
    images = prepare_images(result.folder, [pixels, pixels])
    assert (images.shape, images.dtype) == ((2, 16, 16, 3), np.float32)
    # The run normalises by 1/255.
    assert np.all(images == np.float32(51) / np.float32(255))


def test_wrong_images_are_refused_in_words_of_python(result):
    with pytest.raises(UsageError, match=r"^Got 1 of 1 files .*gone\.png' cannot be opened"):
        predict(result.folder, "gone.png")
    with pytest.raises(UsageError, match=r"^Got no image"):
        predict(result.folder, [])
    with pytest.raises(UsageError, match=r"which has no run\.json"):
        predict(result.folder.parent, "gone.png")
    with pytest.raises(UsageError, match=r"^Got folder of type RunResult.*folder=result\.folder"):
        predict(result, "gone.png")
    for size in (None, "8", 0, 2.5):
        with pytest.raises(UsageError, match=rf"^Got batch_size={size!r}\."):
            predict(result.folder, np.zeros((4, 4, 3), dtype=np.uint8), batch_size=size)
    with pytest.raises(UsageError, match=r"^Got an image of type bytes"):
        predict(result.folder, b"a.png")
    with pytest.raises(UsageError, match=r"^Got the image 0, .*0 x 0 pixels"):
        predict(result.folder, Image.new("RGB", (0, 0)))


def test_files_come_from_any_iterable(result):
    cats = result.folder.parent / "photos" / "cat"
    found = predict(result.folder, cats.glob("*.png"))
    assert sorted(found["file"]) == sorted(str(path) for path in cats.glob("*.png"))
    assert len(predict(result.folder, pd.Series([f"{cats}/3.png"], index=[7]))) == 1


def test_a_decision_is_in_the_table_and_named_in_its_attributes(result, tmp_path):
    """Of three classes it is a temperature alone: other probabilities, the same labels."""
    run = tmp_path / "run"
    shutil.copytree(result.folder, run)
    names = list(result.class_names)
    photo = [result.folder.parent / "photos" / "cat" / f"{number}.png" for number in range(5)]
    plain = predict(run, photo)
    assert plain.attrs["decision"] is None
    write_decision(run, make_decision(run, names=names, threshold=None))
    table = predict(run, photo)
    assert table.attrs["decision"]["temperature"] == 2.0
    assert table.attrs["decision"]["threshold"] is None
    assert table["label"].tolist() == plain["label"].tolist()
    columns = ["cat", "dog", "class label"]
    shares = plain[columns].to_numpy()
    # The softmax of half the logits: square roots, normalised.
    expected = np.sqrt(shares) / np.sqrt(shares).sum(axis=1, keepdims=True)
    assert table[columns].to_numpy() == pytest.approx(expected, abs=1e-12)
    again = predict(run, photo, decision=False)
    assert again.equals(plain)


def test_an_unsure_image_has_the_label_none(result, tmp_path):
    run = shutil.copytree(result.folder, tmp_path / "run")
    photo = [result.folder.parent / "photos" / "cat" / f"{number}.png" for number in range(5)]
    names = list(result.class_names)
    write_decision(run, make_decision(run, names=names, threshold=None))
    share = predict(run, photo)[["cat", "dog", "class label"]].max(axis=1).median()
    cut = {"log_odds": float(np.log(share / (1 - share))) + 1e-9, "probability": float(share)}
    rejection = {"rule": "answered", "share": 0.5, **cut}
    write_decision(run, make_decision(run, names=names, threshold=None, rejection=rejection))
    labels = predict(run, photo)["label"].tolist()
    assert None in labels
    assert all(label is None or label in names for label in labels)


def test_an_exported_file_takes_the_place_of_the_run(tmp_path):
    """As the docs say; without a framework, and with the same table."""
    path = tmp_path / "float32.onnx"
    write_file(path, default_spec(), (12, 10, 3), ["cat", "dog"])
    pictures = np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3), dtype=np.uint8)
    table = predict(path, pictures)
    assert list(table.columns) == ["file", "label", "cat", "dog"]
    expected = open_file(path).logits(pictures).argmax(axis=1)
    assert [["cat", "dog"].index(label) for label in table["label"]] == expected.tolist()
    assert predict(str(path), pictures).equals(table)
    with pytest.raises(UsageError, match="holds one network"):
        predict(path, pictures, checkpoint="last")
