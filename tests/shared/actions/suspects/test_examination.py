"""`poc data describe --deep`: near copies with their parts, unseen answers, and the report."""

import json
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.suspects import examination
from poc.shared.actions.suspects.examination import examine, store_findings
from poc.shared.actions.suspects.unseen_answers import read_records, read_unseen
from poc.shared.analysis.report.page import write_report
from poc.shared.analysis.suspects.findings import Findings, read_findings
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.split import Split
from poc.shared.engine.console.work_count import unheard
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS, RunFolder
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec, SplitSpec
from poc.tests.shared.analysis.gallery.test_gallery import make_photos, make_tested
from poc.tests.shared.analysis.report.test_page import read_page


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """24 photos of two classes; the first `ant` is a `bee` too, smaller and stored as a JPEG."""
    root = make_photos(tmp_path / "photos", ("ant", "bee"), num_images=12, shape=(6, 9))
    for path in sorted(root.glob("*/*.png")):
        Image.open(path).resize((180, 120), Image.Resampling.BICUBIC).save(path)
    first = sorted((root / "ant").iterdir())[0]
    Image.open(first).resize((150, 100)).save(root / "bee" / "again.jpg", quality=60)
    return root


def split_of(source, train):
    """The given positions train; of the others, the first three validate and the rest test."""
    others = np.setdiff1d(np.arange(len(source)), train)
    return Split(source, SplitSpec(), np.asarray(train), others[:3], others[3:])


def make_unseen(path, photos, train, share):
    """A run that tested and validated on what it did not train on, at one probability of `ant`."""
    source = open_source(f"folder:{photos}")
    split = split_of(source, train)
    make_tested(path, photos)
    folder = RunFolder(path)
    record = folder.read_run()
    record["data"]["split_fingerprint"] = split.fingerprint
    record["data"]["counts"] = {part: len(own) for part, own in split.parts.items()}
    folder.write_run(record)
    folder.keep_split(RecordedParts.of(split).to_bytes())
    logit = np.log(share / (1 - share))
    for part, name in (("val", VALIDATION_PREDICTIONS), ("test", "predictions.npz")):
        own = split.parts[part]
        logits = np.tile(np.array([logit, 0], dtype=np.float32), (len(own), 1))
        np.savez(
            path / name,
            logits=logits,
            labels=source.labels[own],
            ids=np.array([source.ids[index] for index in own]),
        )
    (path / "checkpoints").mkdir(exist_ok=True)
    (path / "checkpoints" / "best.safetensors").write_bytes(b"")
    return path


def test_a_copy_in_another_class_and_part_is_found(photos):
    findings = examine(DataSpec(source=f"folder:{photos}"), [], unheard)
    (group,) = findings.near_copies
    assert group.classes == ["ant", "bee"]
    assert group.ids[1] == "bee/again.jpg"
    assert group.is_across_classes
    assert not group.is_across_parts
    assert (findings.alike, findings.wrong_labels, findings.outliers) == (None, None, None)
    assert findings.parts == ""


def test_published_parts_are_compared(photos):
    for part, name in (("train", "ant"), ("test", "bee"), ("train", "bee"), ("test", "ant")):
        (photos / part / name).mkdir(parents=True)
    for index, path in enumerate(sorted(photos.glob("???/*.*"))):
        is_test = (path.parent.name == "bee" and index % 2) or path.name == "again.jpg"
        path.rename(photos / ("test" if is_test else "train") / path.parent.name / path.name)
    for name in ("ant", "bee"):
        (photos / name).rmdir()
    first = sorted((photos / "train" / "ant").iterdir())[-1]
    first.rename(photos / "test" / "ant" / first.name)
    findings = examine(DataSpec(source=f"folder:{photos}"), [], unheard)
    (group,) = findings.near_copies
    assert sorted(group.parts) == ["test", "train"]
    assert group.is_across_parts
    assert findings.parts == "published"


def test_answers_are_those_of_runs_that_did_not_train_on_the_image(tmp_path, photos):
    """Two folds: each image is answered by one run, and the images of no fold by both."""
    source = open_source(f"folder:{photos}")
    first = make_unseen(tmp_path / "a", photos, np.arange(0, 10), 0.9)
    second = make_unseen(tmp_path / "b", photos, np.arange(10, 20), 0.5)
    unseen = read_unseen(read_records([first, second], source), source)
    assert unseen.places.tolist() == list(range(25))
    wanted = np.full(25, 0.7)
    wanted[:10], wanted[10:20] = 0.5, 0.9
    np.testing.assert_allclose(unseen.shares[:, 0], wanted, atol=1e-6)


def test_an_answer_for_a_copy_of_a_training_image_does_not_count(tmp_path, photos):
    own = sorted((photos / "ant").iterdir())
    (photos / "bee" / "same.png").write_bytes(own[2].read_bytes())
    source = open_source(f"folder:{photos}")
    run = make_unseen(tmp_path / "a", photos, np.arange(0, 10), 0.9)
    unseen = read_unseen(read_records([run], source), source)
    names = {source.ids[place] for place in unseen.places}
    assert "bee/again.jpg" in names
    assert "bee/same.png" not in names
    assert len(names) == 26 - 10 - 1


def test_a_run_on_other_data_is_refused(tmp_path, photos):
    run = make_unseen(tmp_path / "a", photos, np.arange(0, 10), 0.9)
    (photos / "bee" / "again.jpg").unlink()
    with pytest.raises(UsageError, match="other images, labels or classes"):
        examine(DataSpec(source=f"folder:{photos}"), [run], unheard)


class FakeEmbedding:
    """Embeddings around two directions; those of the images 3 and 4 are equal, 9 is far away."""

    def features(self, indices, report, text):
        random = np.random.default_rng(0)
        centres = np.eye(6)[np.asarray(indices) % 2] * 6
        values = centres + random.normal(size=(len(indices), 6))
        values[4] = values[3]
        values[9] = -50 * np.eye(6)[5]
        return values


def test_everything_together_and_in_the_report(tmp_path, photos, monkeypatch):
    pytest.importorskip("cleanlab", reason="cleanlab is not installed: pip install 'poc[doctor]'")

    @contextmanager
    def fake(folder, report, data):
        assert data == f"folder:{photos}"
        yield FakeEmbedding()

    monkeypatch.setattr(examination, "open_embedding", fake)
    run = make_unseen(tmp_path / "study" / "a", photos, np.arange(0, 10), 0.9)
    other = make_unseen(tmp_path / "b", photos, np.arange(10, 20), 0.9)
    findings = examine(DataSpec(source=f"folder:{photos}"), [run, other], unheard)
    source = open_source(f"folder:{photos}")
    assert findings.parts == str(run)
    assert [group.ids for group in findings.alike] == [[source.ids[3], source.ids[4]]]
    assert [item.id for item in findings.outliers.items] == [source.ids[9]]
    assert findings.wrong_labels.num_answered == 25
    assert {item.given for item in findings.wrong_labels.items} <= {"bee"}
    path = store_findings(findings, tmp_path / "study" / "data")
    assert read_findings(path) == findings
    make_tested(tmp_path / "study" / "c", photos)
    output = tmp_path / "report"
    write_report([tmp_path / "study" / "c", path.parent], output, title="", command="")
    text = read_page(output / "report.html").text
    for title in ("Suspicious images of", "Near copies by perceptual hash", "Outliers"):
        assert title in text
    assert "bee/again.jpg" in (output / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", ["other data", "half", "a field"])
def test_findings_that_do_not_fit_are_named_in_the_report(fault, tmp_path, photos):
    findings = Findings(
        source="folder:x", source_fingerprint="f" * 64, num_examples=3, parts="", num_blank=0,
        near_copies=[],
    )  # fmt: skip
    path = store_findings(findings, tmp_path / "study")
    if fault == "half":
        path.write_text(path.read_text()[:30])
    elif fault == "a field":
        path.write_text(json.dumps({**json.loads(path.read_text()), "num_blank": "<b>"}))
    run = make_tested(tmp_path / "study" / "run", photos)
    output = tmp_path / "report"
    write_report([run, tmp_path / "study"], output, title="", command="")
    text = read_page(output / "report.html").text
    assert "Findings left out" in text
    assert "Suspicious images of" not in text


def test_the_command(photos, tmp_path):
    def poc(*arguments):
        command = [sys.executable, "-m", "poc.cli", "data", "describe", f"folder:{photos}"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done

    done = poc("--deep", "--json", "--output", str(tmp_path / "facts"))
    suspects = json.loads(done.stdout)["suspects"]
    assert [group["classes"] for group in suspects["near_copies"]] == [["ant", "bee"]]
    assert json.loads((tmp_path / "facts" / "suspects.json").read_text()) == suspects
    text = poc("--deep").stdout
    assert "Suspicious images of" in text
    assert "bee/again.jpg" in text
    refused = poc("--run", str(tmp_path))
    assert refused.returncode == 2
    assert "Try adding --deep" in refused.stderr
