"""`poc study`: what is refused before any training, a study on written folders, a real one."""

import json
import re
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.study import study as module
from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.jobs import STOPPED, Outcome
from poc.shared.actions.study.study import Wish, run_study
from poc.shared.analysis.study.decision import Decision
from poc.shared.errors import CheckFailed, UsageError
from poc.tests.helpers.studies.simulated_cells import Killed, SimulatedTime
from poc.tests.helpers.studies.written_cells import WrittenCells

ACCURACIES = {
    **{f"lightlayers k={k}": 0.6 for k in range(1, 6)},
    "small net of conv2d": 0.9,
    "small net of separable": 0.7,
    "lightlayers k=3 taught by small net of conv2d": 0.7,
}


def write_photos(folder, counts):
    """Class folders of small pictures, no two alike."""
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return f"folder:{folder}"


@pytest.fixture
def written(monkeypatch):
    """Cells write their folders without a framework, on a clock of their own."""
    made = []

    def make_cells(output, data, num_train_images, command, executor, watch):
        time = SimulatedTime()
        made.append(WrittenCells(output, module.open_source(data), ACCURACIES, time))
        made[-1].kill_at = make_cells.kill_at
        clocks[-1]._read = time.read
        clocks[-1]._began = 0.0
        return made[-1]

    # No cell of these needs one.
    monkeypatch.setattr(module, "require_installed", lambda names: None)
    clocks = []

    def make_clock(*given):
        clocks.append(Clock(*given))
        return clocks[-1]

    make_cells.kill_at = None
    monkeypatch.setattr(module, "WorkerCells", make_cells)
    monkeypatch.setattr(module, "Clock", make_clock)
    make_cells.made = made
    return make_cells


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"cat": 20}, "class"),
        ({"cat": 2, "dog": 1}, "Expected at least 5 images in each class"),
    ],
)
def test_a_folder_that_cannot_be_studied_is_refused_before_training(
    poc, tmp_path, written, counts, words
):
    data = write_photos(tmp_path / "photos", counts)
    code, _, errors = poc("study", data, "--budget", "3m", "--output", "out")
    assert code == 2
    assert words in errors
    assert not (tmp_path / "out").exists()
    assert written.made == []


def test_parts_that_share_an_image_are_refused(poc, tmp_path, written):
    write_photos(tmp_path / "train", {"cat": 8, "dog": 8})
    for part in ("train", "test"):
        shutil.copytree(tmp_path / "train", tmp_path / "photos" / part)
    data = f"folder:{tmp_path / 'photos'}"
    code, _, errors = poc("study", data, "--budget", "3m", "--output", "out")
    assert code == 2
    assert "parts share" in errors
    assert written.made == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget", "2m"], "--budget"),
        (["--budget", "3m", "--frameworks", "jax"], "--frameworks"),
        (["--budget", "3m", "--frameworks", "tf,tf"], "--frameworks"),
        (["--budget", "3m", "--frameworks", "both,tf"], "--frameworks"),
        (["--budget", "3m", "--methods", "magic"], "--methods"),
        (["--budget", "3m", "--weights", "none.pt"], "does not exist"),
        (["--budget", "3m", "--weights", "imagenet"], "Try --weights imagenet:mobilenet_v2"),
        (["--budget", "3m", "--weights", "imagenet:mobilenet"], "Try --weights imagenet:mobilenet"),
        (["--budget", "3m", "--weights", "imagenet:none"], "one of vgg16, vgg16_bn"),
        (["--budget", "3m", "--seeds", "0"], "0 seeds"),
    ],
)
def test_wrong_options_are_refused(poc, written, options, words):
    code, _, errors = poc("study", "embedded", *options, "--output", "out")
    assert code == 2
    assert words in errors


def study(tmp_path, **changes):
    wish = {
        "data": write_photos(tmp_path / "photos", {"cat": 30, "dog": 20})
        if not (tmp_path / "photos").exists()
        else f"folder:{tmp_path / 'photos'}",
        "budget_seconds": 600.0,
        "output": tmp_path / "out",
    }
    return run_study(Wish(**{**wish, **changes}), command="poc study", began=time.monotonic())


def test_a_study_writes_its_decision_and_its_page(tmp_path, written):
    decision = study(tmp_path)
    assert decision.recommended.candidate == "small net of conv2d"
    stored = Decision.from_json((tmp_path / "out" / "decision.json").read_text())
    assert stored == decision
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Use small net of conv2d" in page
    assert "<h2>Search</h2>" in page


def test_a_study_that_is_killed_decides_the_same(tmp_path, written):
    """There is a page at every moment; it says that the study is not finished."""
    whole = study(tmp_path, output=tmp_path / "whole")
    for kill_at in (0, 3, 5, 1, 12):
        written.kill_at = kill_at
        with pytest.raises(Killed):
            study(tmp_path)
        assert "This study is not finished" in (tmp_path / "out" / "index.html").read_text()
    written.kill_at = None
    assert study(tmp_path) == whole
    ran = [key for cells in written.made[1:] for key in cells.ran]
    assert ran == written.made[0].ran


@pytest.mark.parametrize("num_images", [50, 1000])
def test_where_both_frameworks_search_both_are_compared(tmp_path, written, num_images):
    """On folds, and on a holdout, where networks of each search choose."""
    write_photos(tmp_path / "photos", {"cat": num_images // 2, "dog": num_images // 2})
    # Time for two finalists of each framework on all splits.
    wishes = {"frameworks": ("both",), "methods": ("scratch",), "budget_seconds": 900.0}
    decision = study(tmp_path, **wishes)
    cells = [json.loads(line) for line in (tmp_path / "out/study.jsonl").read_text().splitlines()]
    searched = {cell["backend"] for cell in cells if cell["phase"] == "search"}
    assert searched == {"torch", "tf"}
    rows = {(row.candidate, row.framework) for row in decision.candidates}
    assert {("small net of conv2d", name) for name in searched} <= rows


def test_a_study_of_other_data_does_not_continue(tmp_path, written):
    study(tmp_path)
    with pytest.raises(UsageError, match="frameworks differ"):
        study(tmp_path, frameworks=("tf",))


def test_a_study_whose_images_have_changed_does_not_continue(tmp_path, written):
    study(tmp_path)
    first, second = sorted((tmp_path / "photos").glob("*/0.png"))[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.raises(UsageError, match=r"\(images_and_labels differ\)"):
        study(tmp_path)


def test_a_study_with_other_weights_in_the_same_file_does_not_continue(
    tmp_path, written, monkeypatch
):
    digests = ["one", "one", "two"]
    monkeypatch.setattr(module, "list_weights", lambda candidates: [tmp_path / "net.safetensors"])
    monkeypatch.setattr(module, "digest_file", lambda path: digests.pop(0))
    study(tmp_path)
    study(tmp_path)
    with pytest.raises(UsageError, match=r"\(weights differ\)"):
        study(tmp_path)


def test_a_smaller_budget_does_not_replace_the_answer_of_a_larger_one(tmp_path, written):
    decision = study(tmp_path)
    with pytest.raises(UsageError, match="this study has had 600s"):
        study(tmp_path, budget_seconds=300.0)
    assert Decision.from_json((tmp_path / "out" / "decision.json").read_text()) == decision
    study(tmp_path, budget_seconds=900.0)
    with pytest.raises(UsageError, match="this study has had 900s"):
        study(tmp_path)


def test_a_study_whose_cells_all_fail_ends_with_the_reason(tmp_path, written, monkeypatch):
    def fail(cells, job, limit_seconds):
        return Outcome("failed", 1.0, error="Got no framework. Expected one.")

    monkeypatch.setattr(WrittenCells, "run", fail)
    with pytest.raises(CheckFailed, match=r"lightlayers k=3, says: Got no framework\."):
        study(tmp_path)
    assert not (tmp_path / "out" / "decision.json").exists()


def test_a_study_whose_finals_all_fail_ends_with_the_reason(tmp_path, written, monkeypatch):
    """The search does not open the test images, which one cannot be read of."""
    run = WrittenCells.run

    def fail(cells, job, limit_seconds):
        if job.phase == "finals":
            return Outcome("failed", 1.0, error="Got an image that cannot be read.")
        return run(cells, job, limit_seconds)

    monkeypatch.setattr(WrittenCells, "run", fail)
    with pytest.raises(CheckFailed, match=r"says: Got an image that cannot be read\."):
        study(tmp_path)


def test_a_study_without_time_for_a_cell_says_so(tmp_path, written, monkeypatch):
    """With default methods, to which students belong; a larger budget goes on."""
    run = WrittenCells.run

    def stop(cells, job, limit_seconds):
        return Outcome("stopped", 1.0, error=f"{STOPPED} 1 s")

    monkeypatch.setattr(WrittenCells, "run", stop)
    decision = study(tmp_path)
    assert decision.sentences[0].startswith("No network was tested in time.")
    monkeypatch.setattr(WrittenCells, "run", run)
    assert "lightlayers k=3" in {
        row.candidate for row in study(tmp_path, budget_seconds=900.0).candidates
    }


def test_a_study_that_was_killed_may_go_on_with_less(tmp_path, written):
    """It has no answer yet that a poorer one could replace."""
    written.kill_at = 2
    with pytest.raises(Killed):
        study(tmp_path)
    written.kill_at = None
    assert study(tmp_path, budget_seconds=500.0)


def test_more_seeds_are_more_networks_of_each_finalist(poc, tmp_path, written):
    data = write_photos(tmp_path / "photos", {"cat": 30, "dog": 20})
    options = ("--budget", "20m", "--output", "out", "--seeds", "2")
    code, _, errors = poc("study", data, *options)
    assert code == 0, errors
    cells = [json.loads(line) for line in (tmp_path / "out/study.jsonl").read_text().splitlines()]
    finals = {cell["cell"] for cell in cells if cell.get("phase") == "finals"}
    assert any("repeat-1" in name for name in finals)


@pytest.mark.torch
@pytest.mark.tf
@pytest.mark.slow
def test_a_real_study_keeps_its_budget_and_predicts(poc, tmp_path):
    """Three minutes on two classes of plain colours, which a small net tells apart."""
    random = np.random.default_rng(1)
    for name, colour in (("blue", (40, 60, 200)), ("red", (200, 60, 40))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = np.clip(random.normal(colour, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    began = time.monotonic()
    code, output, errors = poc(
        *("study", f"folder:{tmp_path / 'photos'}", "--budget", "3m", "--output", "out"),
        *("--methods", "scratch"),
    )
    assert code == 0, errors
    # The command's own start is before this clock.
    assert time.monotonic() - began < 1.1 * 180
    decision = json.loads((tmp_path / "out" / "decision.json").read_text())
    assert re.search(r"Use (small net|no network)", output)
    assert decision["num_test_images"] >= 10
    code, output, errors = poc("predict", "out", tmp_path / "photos" / "red" / "0.png")
    assert code == 0, errors
    assert "red" in output
