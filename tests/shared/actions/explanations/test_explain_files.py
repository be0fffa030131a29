"""The folder of `poc explain`: a picture per image, the numbers, a page, and refusals before."""

import html
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.explanations.explain import Wish
from poc.shared.actions.explanations.explain_files import (
    describe_rows,
    explain_files,
    name_picture,
    refuse_unreadable,
)
from poc.shared.actions.new_images.predict import predict_images
from poc.shared.data.sources.inspection import ignore
from poc.shared.engine.folder.decision import write_decision
from poc.shared.errors import CheckFailed, UsageError
from poc.tests.faults.test_resume import train
from poc.tests.helpers.commands.processes import stub_environment
from poc.tests.shared.actions.new_images.test_label_files import RUN, photos, trained
from poc.tests.shared.engine.folder.test_decision import make_decision

__all__ = ["photos", "trained"]

# Names that HTML, Matplotlib and file systems read in their own way.
STRANGE = "<b>$x$ & 100%.png"


def use_stub(folder, monkeypatch):
    """Both frameworks are the stub: what is tested here is what is done with their numbers."""
    (interpreter,) = [
        value for name, value in stub_environment(folder, 0).items() if name == "POC_TORCH_PYTHON"
    ]
    for name in ("TF", "TORCH"):
        monkeypatch.setenv(f"POC_{name}_PYTHON", interpreter)


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    use_stub(tmp_path, monkeypatch)
    return shutil.copytree(trained, tmp_path / "run")


def explain(run, paths, output, note=ignore, command="poc explain", **wish):
    return explain_files(
        run,
        [str(path) for path in paths],
        output,
        Wish(**wish),
        command=command,
        report=lambda event: note(event["text"]) if event["event"] == "note" else None,
    )


def test_every_image_has_a_picture_numbers_and_a_text(run, photos, tmp_path):
    strange = tmp_path / STRANGE
    shutil.copy(photos / "cat" / "0.png", strange)
    (tmp_path / "no.png").write_text("no image")
    paths = [photos / "cat" / "1.png", tmp_path / "no.png", strange]
    rows = explain(run, paths, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "explanations.json").read_text(encoding="utf-8"))
    assert stored["images"] == rows
    assert [row["file"] for row in rows] == [str(path) for path in paths]
    assert stored["backends"] == ["tf", "torch"]
    assert stored["settings"]["tap"] == "block2/relu2"
    assert stored["largest_difference"] == 0
    bad = rows[1]
    assert (bad["problem"], bad["picture"]) == ("is no image that Pillow knows", None)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    pictures = ["0001_1.png", "0003_b_x_100.png"]
    assert files == [*pictures, "explanations.json", "index.html"]
    for row, picture in zip((rows[0], rows[2]), pictures, strict=True):
        assert row["picture"] == picture
        assert [one["backend"] for one in row["backends"]] == ["tf", "torch"]
        # The stub's grid of cells: the size of the tap.
        assert np.array(row["backends"][0]["map"]).shape == (8, 8)
        with Image.open(tmp_path / "out" / picture) as image:
            assert image.width > image.height > 200
    with pytest.raises(CheckFailed, match="1 of 3 files cannot be read"):
        refuse_unreadable(rows)
    assert describe_rows(rows).startswith("2 images explained; the frameworks' maps differ by at")


def test_the_page_says_in_words_what_a_picture_shows(run, photos, tmp_path):
    strange = tmp_path / STRANGE
    shutil.copy(photos / "cat" / "0.png", strange)
    rows = explain(run, [strange, "gone.png"], tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "<script" not in page
    (text,) = re.findall(r'<img src="0001_b_x_100\.png" alt="([^"]*)"', page)
    assert html.unescape(text) == rows[0]["text"]
    for word in (STRANGE, "Grad-CAM map of tf and torch", "The maps differ by at most 0.0e+00."):
        assert word in rows[0]["text"]
    assert "cannot be opened (No such file or directory)" in page
    # Dark and light come from the reader's device.
    assert "color-scheme: light dark" in page


def test_a_command_of_many_files_is_folded(run, photos, tmp_path):
    """A pattern of the shell becomes a path per file."""
    long = "poc explain run " + " ".join(f"photos/{number}.jpg" for number in range(100))
    for name, command in (("short", "poc explain run a.jpg"), ("long", long)):
        explain(run, [photos / "cat" / "0.png"], tmp_path / name, command=command)
        page = (tmp_path / name / "index.html").read_text(encoding="utf-8")
        assert page.count(f"<code>{command}</code>") == 1
        assert page.count("<summary>Written by <code>poc explain run photos") == (name == "long")


def test_answers_are_those_of_predict(run, photos, tmp_path):
    paths = sorted((photos / "cat").iterdir())
    found = predict_images(run, photos / "cat")
    rows = explain(run, paths, tmp_path / "out")
    order = {str(name): place for place, name in enumerate(found.names)}
    for row in rows:
        place = order[row["file"]]
        label = found.class_names[found.answers[place]]
        assert row["class_name"] == row["backends"][1]["label"] == label
        shares = np.exp(found.logits[place]) / np.exp(found.logits[place]).sum()
        assert row["backends"][1]["probability"] == pytest.approx(shares.max(), abs=1e-12)


def test_the_class_and_the_tap_can_be_named(run, photos, tmp_path):
    wish = {"class_name": "dog", "tap": "block1", "backend": "torch"}
    (row,) = explain(run, [photos / "cat" / "0.png"], tmp_path / "out", **wish)
    assert row["class_name"] == "dog"
    assert [one["backend"] for one in row["backends"]] == ["torch"]
    assert row["largest_difference"] is None
    assert describe_rows([row]) == "1 image explained."
    # The stub's gradient speaks against every odd class: nothing is left of its map.
    assert row["backends"][0]["is_zero"]
    assert "zero everywhere, nothing in this map speaks for the class" in row["text"]
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "zero everywhere" in page
    assert 'class="alone"' in page


def test_occlusion_is_drawn_too(run, photos, tmp_path):
    rows = explain(run, [photos / "cat" / "0.png"], tmp_path / "out", method="occlusion", patch=8)
    stored = json.loads((tmp_path / "out" / "explanations.json").read_text(encoding="utf-8"))
    assert stored["settings"] == {
        "patch_pixels": 8,
        "stride_pixels": 4,
        "rows": [0, 4, 8],
        "columns": [0, 4, 8],
    }
    drops = np.array(rows[0]["backends"][1]["map"])
    assert drops.shape == (3, 3)
    assert np.abs(drops).max() > 1e-6


def test_an_unsure_image_is_explained_by_its_most_probable_class(run, photos, tmp_path):
    rejection = {"rule": "answered", "share": 0.5, "log_odds": 50.0, "probability": 0.99}
    decision = make_decision(run, names=["cat", "dog"], threshold=None, rejection=rejection)
    write_decision(run, decision)
    (row,) = explain(run, [photos / "cat" / "0.png"], tmp_path / "out")
    assert row["backends"][0]["label"] is None
    assert "(unsure)" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert row["backends"][0]["probability"] >= 0.5


def test_of_several_crops_the_centre_is_explained(photos, tmp_path, monkeypatch):
    data = {
        "source": f"folder:{photos}",
        "batch_size": 7,
        "image_size": [12, 12],
        "eval_view": {"resize": "shorter_side", "crop": "ten"},
    }
    train(tmp_path / "run", {**RUN, "data": data})
    use_stub(tmp_path, monkeypatch)
    explain(tmp_path / "run", [photos / "cat" / "0.png"], tmp_path / "out", backend="torch")
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "averages 10 crops" in page
    assert "the centre crop alone" in page


def test_a_missing_framework_is_named(run, photos, tmp_path, monkeypatch):
    from poc.shared.actions.explanations import networks

    monkeypatch.delenv("POC_TF_PYTHON")
    monkeypatch.setattr(
        networks, "find_missing", lambda name: ["tensorflow"] if name == "tf" else []
    )
    notes = []
    (row,) = explain(run, [photos / "cat" / "0.png"], tmp_path / "out", notes.append)
    assert [one["backend"] for one in row["backends"]] == ["torch"]
    assert notes == [
        "tf is not installed, so the other framework explains alone: pip install 'poc[tf]'"
    ]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"method": "lime"}, "Got --method 'lime'"),
        ({"class_name": "horse"}, "Got --class 'horse'. Expected a class of the run: cat, dog"),
        ({"tap": "block7"}, "Got the tap 'block7'"),
        ({"backend": "jax"}, "Got backend='jax'"),
        ({"checkpoint": "other"}, "other"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_written(wish, words, run, photos, tmp_path):
    with pytest.raises(UsageError, match=words):
        explain(run, [photos / "cat" / "0.png"], tmp_path / "out", **wish)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_not_written_into(run, photos, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, words in (("full", "which has files"), ("file", "which is no folder")):
        with pytest.raises(UsageError, match=words):
            explain(run, [photos / "cat" / "0.png"], tmp_path / name)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("a/b/cat.jpg", "0007_cat.png"),
        ("../../etc/passwd", "0007_passwd.png"),
        ("猫.png", "0007_image.png"),
        ("x" * 300, f"0007_{'x' * 40}.png"),
        ("a\nb/..", "0007_image.png"),
    ],
)
def test_a_picture_has_a_plain_name(name, picture):
    assert name_picture(7, name) == picture


@pytest.mark.tf
@pytest.mark.torch
def test_both_frameworks_draw_the_same_maps(trained, photos, tmp_path):
    """The weights of the stub's run, in float64, by the real frameworks."""
    paths = [photos / "cat" / "0.png", photos / "dog" / "3.png"]
    for method, options in {"gradcam": {}, "occlusion": {"patch": 8, "stride": 8}}.items():
        rows = explain(trained, paths, tmp_path / method, method=method, **options)
        for row in rows:
            assert row["largest_difference"] < 1e-10
            first, second = row["backends"]
            assert first["probability"] == pytest.approx(second["probability"], abs=1e-12)
            assert not first["is_zero"] or method == "gradcam"
    assert any(not one["is_zero"] for row in rows for one in row["backends"])
