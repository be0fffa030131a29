"""`poc predict` from an exported file alone: labels, refusals, and no framework."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.new_images.exported_file import read_network
from poc.shared.actions.new_images.label_files import Destination, Wish, label_files
from poc.shared.actions.new_images.predict import predict_images
from poc.shared.data.sources.inspection import ignore
from poc.shared.data.views.evaluation import EvaluationView
from poc.shared.engine.console.work_count import unheard
from poc.shared.engine.export.preprocess import Rule
from poc.shared.engine.export.runtimes import FORMATS
from poc.shared.errors import UsageError
from poc.tests.helpers.export import small_tflite
from poc.tests.helpers.export.small_onnx import default_spec, write_file

NAMES, SHAPE = ["cat", "dog", "eel"], (12, 10, 3)
VIEWS = {
    "picture": ({}, "picture"),
    "view": ({}, "view"),
    "fitted picture": ({"eval_view": {"resize": "fit"}, "fill": 9}, "picture"),
    "crops": ({"eval_view": {"resize": "shorter_side", "crop": "five"}}, "view"),
}


@pytest.fixture
def photos(tmp_path):
    """Five photos of different sizes."""
    (tmp_path / "photos").mkdir()
    draw = np.random.default_rng(0)
    for number in range(5):
        pixels = draw.integers(0, 256, (20 + 7 * number, 31, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def label(path, paths, wish=None):
    lines = []
    destination = Destination(write=lines.append, as_json=True)
    counts = label_files(
        path, list(map(str, paths)), wish or Wish(), destination, note=ignore, report=unheard
    )
    return json.loads("\n".join(lines)), counts


@pytest.mark.parametrize("case", VIEWS)
def test_it_labels_as_the_view_and_the_network_say(case, photos, tmp_path):
    settings, kind = VIEWS[case]
    spec = default_spec(**settings)
    weights = write_file(tmp_path / "m.onnx", spec, SHAPE, NAMES, kind=kind)
    found, counts = label(tmp_path / "m.onnx", [photos])
    assert found["class_names"] == NAMES
    assert found["backend"].startswith("onnxruntime ")
    view = EvaluationView(spec, SHAPE)
    for row, path in zip(found["rows"], sorted(photos.iterdir()), strict=True):
        views = view.pixels(Image.open(path)).reshape(view.num_views, -1).astype(np.float64)
        logits = views @ weights.reshape(-1, 3).astype(np.float64)
        shares = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None]).mean(axis=0)
        assert np.abs(np.array(row["probabilities"]) - shares).max() < 1e-5
        assert row["label"] == NAMES[shares.argmax()]
    assert counts == {"labelled": 5}


def test_the_decision_of_the_file_applies_unless_it_is_refused(photos, tmp_path):
    rejection = {"rule": "answered", "share": 0.5, "log_odds": 50.0, "probability": 1.0}
    rule = Rule(temperature=3.0, rejection=rejection)
    write_file(tmp_path / "m.onnx", default_spec(), SHAPE, NAMES, decision=rule)
    found, counts = label(tmp_path / "m.onnx", [photos])
    assert found["decision"]["temperature"] == 3.0
    assert counts == {"unsure": 5}
    found, counts = label(tmp_path / "m.onnx", [photos], Wish(use_decision=False))
    assert (found["decision"], counts) == (None, {"labelled": 5})


def test_the_python_call_takes_a_file_too(photos, tmp_path):
    write_file(tmp_path / "m.onnx", default_spec(), SHAPE, NAMES)
    rows = label(tmp_path / "m.onnx", [photos])[0]["rows"]
    found = predict_images(tmp_path / "m.onnx", photos)
    assert [NAMES[place] for place in found.answers] == [row["label"] for row in rows]


def test_a_tflite_file_answers_as_its_formula(photos, tmp_path):
    weights = small_tflite.write_file(tmp_path / "m.tflite", default_spec(), SHAPE, NAMES)
    pixels = np.random.default_rng(2).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
    found = predict_images(tmp_path / "m.tflite", pixels)
    expected = pixels.reshape(3, -1).astype(np.float64) @ weights.reshape(-1, len(NAMES))
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("file_format", ["onnx", "tflite"])
def test_no_framework_is_imported(file_format, photos, tmp_path):
    path = tmp_path / f"m.{file_format}"
    if file_format == "onnx":
        write_file(path, default_spec(), SHAPE, NAMES, kind="picture")
    else:
        small_tflite.write_file(path, default_spec(), SHAPE, NAMES)
    code = (
        "import sys\nfrom poc import cli\n"
        f"sys.argv = ['poc', 'predict', {str(path)!r}, {str(photos)!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('loaded:', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows, _, loaded = done.stdout.partition("loaded:")
    assert len(rows.splitlines()) == 6
    assert {"tensorflow", "keras", "torch", "onnx"} & set(loaded.split()) == set()
    assert FORMATS[file_format].runs_with in loaded.split()


def damage(path):
    path.write_bytes(path.read_bytes()[:60])


def strip(path):
    import onnx

    model = onnx.load(path)
    model.ClearField("metadata_props")
    onnx.save(model, path)


REFUSALS = {
    "backend": (None, {"backend": "tf"}, "Got --backend tf for the exported file"),
    "checkpoint": (None, {"checkpoint": "last"}, "Got --checkpoint last for the exported"),
    "gone": (lambda path: path.unlink(), {}, "which does not exist"),
    "cut": (damage, {}, "which its runtime cannot open"),
    "bare": (strip, {}, "does not say what it takes"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_wrong_use_is_one_sentence(case, tmp_path):
    change, options, words = REFUSALS[case]
    path = tmp_path / "m.onnx"
    write_file(path, default_spec(), SHAPE, NAMES)
    if change:
        change(path)
    with pytest.raises(UsageError, match=words) as refused:
        read_network(path, **options, note=ignore)
    assert len(str(refused.value).splitlines()) == 1
