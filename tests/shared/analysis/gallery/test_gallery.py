"""The gallery of a report: which images, their words and pictures, and the 2 MB of a page."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from poc.shared.analysis.gallery.neighbours import Neighbour
from poc.shared.analysis.report.page import read_study, write_report, write_study
from poc.shared.data.sources.table import open_source
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.tests.shared.analysis.report.test_page import HOSTILE, make_run, read_page

BLUE = "<b>blue&amp;"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_photos(root: Path, names=("red", BLUE), num_images=8, shape=(60, 90)) -> Path:
    """Class folders of noisy photos, each of its own."""
    random = np.random.default_rng(0)
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(num_images):
            noise = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
            file = root / name / f"{label}<img src=x onerror=alert({index})>.png"
            Image.fromarray(noise).save(file, compress_level=1)
    return root


def make_tested(path: Path, photos: Path, logits=None, *, k=3, backend="torch", seed=0) -> Path:
    """A finished run that was tested on all photos; without logits it answers at random."""
    source = open_source(f"folder:{photos}")
    names, count = list(source.class_names), len(source)
    if logits is None:
        logits = np.random.default_rng([k, seed, len(backend)]).normal(size=(count, len(names)))
    make_run(path, k=k, backend=backend, seed=seed, class_names=names, num_images=count)
    folder = RunFolder(path)
    record = folder.read_run()
    record["run"]["data"]["source"] = f"folder:{photos}"
    record["data"] |= {"source": source.name, "source_fingerprint": source.fingerprint}
    folder.write_run(record)
    folder.write_predictions(logits.astype(np.float32), source.labels, list(source.ids))
    accuracy = float((logits.argmax(axis=1) == source.labels).mean())
    folder.write_summary({**folder.read_summary(), "test_accuracy": accuracy})
    return path


def report(output: Path, *folders: Path) -> str:
    write_report(list(folders), output, title="A study", command="poc report")
    return (output / "report.html").read_text(encoding="utf-8")


def pictures(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/(png|jpeg);base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(content))) for _, content in found]


def test_the_worst_images_come_first_with_their_pictures(tmp_path):
    """Of 16 answers, three are wrong: at a loss of 5, of 3 and of 4; the rest at 0.05."""
    photos = make_photos(tmp_path / "photos")
    source = open_source(f"folder:{photos}")
    # With two classes and a true logit that is d below the other, the loss is log(1 + exp(d)).
    apart = np.full(16, np.log(np.expm1(0.05)))
    apart[[2, 9, 4]] = np.log(np.expm1([5, 3, 4]))
    logits = np.zeros((16, 2))
    logits[np.arange(16), 1 - source.labels] = apart
    page = report(tmp_path / "report", make_tested(tmp_path / "run", photos, logits))
    lines = pd.read_csv(tmp_path / "report" / "gallery.csv")
    assert lines.list.tolist() == ["largest loss"] * 6 + ["most confident errors"] * 3
    worst = [source.ids[index] for index in (2, 4, 9)]
    assert lines.image.tolist()[:3] == lines.image.tolist()[6:] == worst
    assert lines.loss.tolist()[:3] == pytest.approx([5, 4, 3], rel=1e-5)
    assert lines.probability.tolist()[6:] == pytest.approx(1 - np.exp([-5.0, -4, -3]), rel=1e-5)
    assert [picture.size for picture in pictures(page)] == [(90, 60)] * 9
    # The pictures are those of the ids: noise that JPEG has only blurred.
    for picture, name in zip(pictures(page), lines.image, strict=True):
        own = np.asarray(source.picture(source.ids.index(name)), dtype=float)
        assert np.corrcoef(np.asarray(picture, dtype=float).ravel(), own.ravel())[0, 1] > 0.5
    assert "3 of 16 test images are answered wrongly" in page


def test_names_are_escaped_and_every_picture_has_words(tmp_path):
    photos = make_photos(tmp_path / "photos")
    report(tmp_path / "report", make_tested(tmp_path / "run", photos))
    page = read_page(tmp_path / "report" / "report.html")
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert images
    for attributes in images:
        assert set(attributes) <= {"src", "alt", "width", "height", "class"}
        assert attributes["src"].startswith("data:image/")
        assert "onerror=alert(" in attributes["alt"]
    assert not {tag for tag, _ in page.tags} & {"script", "b", "iframe"}
    assert BLUE in page.text
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "<img" not in markdown
    assert "<b>" not in markdown
    assert "largest loss" in markdown


@pytest.mark.parametrize("fault", ["gone", "changed", "relabelled"])
def test_data_that_is_gone_or_changed_is_a_sentence(fault, tmp_path):
    photos = make_photos(tmp_path / "photos")
    run = make_tested(tmp_path / "run", photos)
    first = next((photos / "red").iterdir())
    if fault == "gone":
        shutil.rmtree(photos)
    elif fault == "changed":
        Image.new("RGB", (9, 9)).save(first)
    else:
        first.rename(photos / BLUE / first.name)
    page = report(tmp_path / "report", run)
    assert not pictures(page)
    assert "not shown, because" in page
    assert page.count("no picture") == len(pd.read_csv(tmp_path / "report" / "gallery.csv"))


def test_frameworks_that_differ(tmp_path):
    """Of 16 images, three have other answers with seed 0, and one of them with seed 1 too."""
    photos = make_photos(tmp_path / "photos")
    source = open_source(f"folder:{photos}")
    right = np.eye(2)[source.labels] * 3
    for seed, changed in ((0, [3, 5, 8]), (1, [5])):
        make_tested(tmp_path / "runs" / f"tf{seed}", photos, right, backend="tf", seed=seed)
        other = right.copy()
        other[changed] = other[changed][:, ::-1] * (1 + np.arange(len(changed)))[:, None]
        make_tested(tmp_path / "runs" / f"torch{seed}", photos, other, seed=seed)
    report(tmp_path / "report", tmp_path / "runs")
    lines = pd.read_csv(tmp_path / "report" / "gallery.csv")
    own = lines[lines.list == "frameworks differ"]
    # First the one of two seeds; of the others, the one whose probabilities are farther apart.
    wanted = [source.ids[index] for index in (5, 8, 3) for _ in range(2)]
    assert own.image.tolist() == wanted
    assert own.by.tolist() == ["tf", "torch"] * 3
    assert (own.answer.to_numpy()[::2] != own.answer.to_numpy()[1::2]).all()
    text = read_page(tmp_path / "report" / "report.html").text
    assert "3 of 16 test images have different answers" in text
    assert "and so in 1 more" in text


def test_frameworks_that_agree_have_a_sentence_and_no_table(tmp_path):
    photos = make_photos(tmp_path / "photos")
    right = np.eye(2)[open_source(f"folder:{photos}").labels] * 3
    for backend in ("tf", "torch"):
        make_tested(tmp_path / "runs" / backend, photos, right, backend=backend)
    report(tmp_path / "report", tmp_path / "runs")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    start = text.index("0 of 16 test images have different answers in the two frameworks")
    assert "with an equal seed (seed 0); 0 shown" in text[start:]
    # Right above the sentence stands the heading, not the head of an empty table.
    assert text[:start].rstrip().splitlines()[-1].startswith("### ")


def test_neighbours_stand_beside_the_images(tmp_path):
    photos = make_photos(tmp_path / "photos")
    run = make_tested(tmp_path / "run", photos)
    near = open_source(f"folder:{photos}").ids[0]

    def find(folder, ids):
        assert folder == run
        return {name: Neighbour(id=near, truth="red", similarity=0.99961) for name in ids}

    study = read_study([run])
    output = tmp_path / "report"
    write_study(study, output, title="", command="", find_neighbours=find)
    lines = pd.read_csv(output / "gallery.csv")
    assert set(lines.nearest_training_image) == {near}
    page = (output / "report.html").read_text(encoding="utf-8")
    assert len(pictures(page)) == 2 * len(lines)
    assert "cosine &gt; 0.999" in page


def test_neighbours_that_cannot_be_found_are_a_sentence(tmp_path):
    run = make_tested(tmp_path / "run", make_photos(tmp_path / "photos"))

    def find(folder, ids):
        raise UsageError("Got no weights. Expected some. Try again.")

    write_study(read_study([run]), tmp_path / "report", title="", command="", find_neighbours=find)
    text = read_page(tmp_path / "report" / "report.html").text
    assert "are missing: no weights." in text


def test_a_page_has_at_most_2_mb(tmp_path):
    """Noise hardly compresses: twelve rows, with neighbours, would fill more than 2 MB."""
    names = [f"{index} {HOSTILE[3]}".replace("/", "") for index in range(60)]
    photos = make_photos(tmp_path / "photos", names, num_images=1, shape=(300, 300))
    ids = open_source(f"folder:{photos}").ids
    for k in range(1, 7):
        for backend in ("tf", "torch"):
            make_tested(tmp_path / "runs" / f"{k}{backend}", photos, k=k, backend=backend)

    def find(folder, names):
        return {name: Neighbour(id=ids[0], truth=HOSTILE[0], similarity=0.5) for name in names}

    output = tmp_path / "report"
    study = read_study([tmp_path / "runs"])
    write_study(study, output, title="", command="", find_neighbours=find)
    page = (output / "report.html").read_text(encoding="utf-8")
    shown, size = len(pictures(page)), len(page.encode())
    lines = pd.read_csv(output / "gallery.csv")
    wanted = 2 * len(lines[["row", "list", "place"]].drop_duplicates())
    print(f"{size:,} bytes, {shown} of {wanted} pictures")
    assert 1_700_000 < size <= 2_000_000
    assert 50 < shown < wanted
    assert f"{wanted - shown:,} pictures are left out, because a page holds at most 2 MB" in page


def test_a_run_of_an_unknown_source_is_a_sentence(tmp_path):
    page = report(tmp_path / "report", make_run(tmp_path / "run"))
    assert not pictures(page)
    assert "The images of generated are not shown, because" in page


def test_a_run_without_a_test_part_has_no_gallery(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "predictions.npz").unlink()
    record = json.loads((run / "run.json").read_text())
    record["data"]["counts"]["test"] = 0
    (run / "run.json").write_text(json.dumps(record))
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "test_accuracy": None}))
    page = report(tmp_path / "report", run)
    assert "<h2>Images</h2>" not in page
    assert len(pd.read_csv(tmp_path / "report" / "gallery.csv")) == 0


def test_a_png_of_few_pixels_is_kept_and_a_photo_shrunk(tmp_path):
    small = make_photos(tmp_path / "small", shape=(28, 20))
    page = report(tmp_path / "report", make_tested(tmp_path / "run", small))
    assert {(item.format, item.size) for item in pictures(page)} == {("PNG", (20, 28))}
    large = make_photos(tmp_path / "large", shape=(400, 200))
    page = report(tmp_path / "report2", make_tested(tmp_path / "run2", large))
    assert {(item.format, item.size) for item in pictures(page)} == {("JPEG", (56, 112))}
