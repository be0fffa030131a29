"""`poc predict`: rows for every image, as a table, CSV and JSON, and refusals before the work."""

import csv
import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.new_images import label_files as module
from poc.shared.actions.new_images.label_files import Destination, Wish, label_files
from poc.shared.actions.new_images.predict import predict_images
from poc.shared.actions.new_images.trained_network import read_trained
from poc.shared.actions.new_images.written_rows import (
    CsvRows,
    describe_counts,
    refuse_unreadable_rows,
)
from poc.shared.data.sources.inspection import ignore
from poc.shared.engine.console.work_count import unheard
from poc.shared.engine.folder.decision import write_decision
from poc.shared.engine.numerics.metrics import log_softmax
from poc.shared.errors import CheckFailed, UsageError
from poc.tests.faults.test_resume import train
from poc.tests.helpers.commands.processes import stub_environment
from poc.tests.shared.engine.folder.test_decision import make_decision

RUN = {
    "method": "scratch",
    "model": {"name": "lightnet_plain", "options": {"widths": [2, 2], "k": 1}},
    "num_epochs": 1,
    "precision": "float64",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of two classes, by noise."""
    root = tmp_path_factory.mktemp("data") / "photos"
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = draw.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A run of the stub on the photos."""
    folder = tmp_path_factory.mktemp("run") / "run"
    data = {"source": f"folder:{photos}", "batch_size": 7, "image_size": [16, 16]}
    train(folder, {**RUN, "data": data})
    return folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it, whose worker is the stub."""
    for name, value in stub_environment(tmp_path, 0).items():
        monkeypatch.setenv(name, value)
    return shutil.copytree(trained, tmp_path / "run")


def label(run, paths, lines, wish=None, **destination):
    return label_files(
        run,
        [str(path) for path in paths],
        wish or Wish(),
        Destination(write=lines.append, **destination),
        note=ignore,
        report=unheard,
    )


def files_of_test(run, photos):
    with np.load(run / "predictions.npz") as stored:
        return [photos / name for name in stored["ids"]], stored["logits"]


def test_labels_of_the_test_part_are_the_runs_own(run, photos, tmp_path):
    """From the files again, in batches of another size, beside one that cannot be read."""
    paths, logits = files_of_test(run, photos)
    (tmp_path / "no.png").write_text("no image")
    given, lines = [paths[0], tmp_path / "no.png", *paths[1:]], []
    counts = label(run, given, lines, Wish(batch_size=2, num_threads=2), as_json=True)
    found = json.loads("\n".join(lines))
    assert (found["class_names"], found["decision"]) == (["cat", "dog"], None)
    rows = found["rows"]
    assert [row["file"] for row in rows] == [str(path) for path in given]
    bad = rows.pop(1)
    assert bad["problem"] == "is no image that Pillow knows"
    assert bad["label"] is bad["probability"] is bad["probabilities"] is None
    expected = [["cat", "dog"][place] for place in logits.argmax(axis=1)]
    assert [row["label"] for row in rows] == expected
    shares = np.exp(log_softmax(logits))
    assert np.abs(np.array([row["probabilities"] for row in rows]) - shares).max() < 1e-12
    assert [row["probability"] for row in rows] == pytest.approx(shares.max(axis=1))
    assert counts == {"labelled": len(paths), "unreadable": 1}
    with pytest.raises(CheckFailed, match=f"^1 of {len(given)} files cannot be read"):
        refuse_unreadable_rows(counts)


def test_the_csv_file_has_what_json_has(run, photos, tmp_path):
    paths, _ = files_of_test(run, photos)
    lines = []
    label(run, [*paths, "gone.png"], lines, csv_file=tmp_path / "rows.csv", as_json=True)
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, other in zip(rows, json.loads("\n".join(lines))["rows"], strict=True):
        assert row["file"] == other["file"]
        assert row["label"] == (other["label"] or "")
        if other["probabilities"]:
            assert [float(row["cat"]), float(row["dog"])] == other["probabilities"]
            assert float(row["probability"]) == other["probability"]
        else:
            assert (row["cat"], row["dog"], row["probability"]) == ("", "", "")
            assert row["problem"] == "cannot be opened (No such file or directory)"


def test_the_table_has_a_line_per_image(run, photos, monkeypatch):
    monkeypatch.chdir(photos)
    lines = []
    counts = label(run, ["cat", "gone.png"], lines)
    assert lines[0].split() == ["file", "label", "probability"]
    assert len(lines) == 1 + 12 + 1
    assert lines[-1].split(maxsplit=1) == [
        "gone.png",
        "cannot be opened (No such file or directory)",
    ]
    starts = {
        line.index(word) for line in lines[1:-1] for word in ("  cat ", "  dog ") if word in line
    }
    assert len(starts) == 1
    assert describe_counts(counts) == "12 images with an answer."


def test_with_a_csv_file_no_table_is_written(run, photos, tmp_path):
    lines = []
    label(run, [photos / "cat" / "0.png"], lines, csv_file=tmp_path / "rows.csv")
    assert lines == []


def test_names_that_would_command_a_terminal_are_escaped(run, photos, tmp_path):
    path = tmp_path / "a\x1b[31m\n.png"
    path.write_bytes((photos / "cat" / "0.png").read_bytes())
    lines = []
    label(run, [path], lines, csv_file=tmp_path / "rows.csv")
    label(run, [path], lines)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    with (tmp_path / "rows.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["file"] == str(path)


def test_unsure_images_have_no_label_but_probabilities(run, photos):
    """Half of them, by the median of the confidences."""
    paths, logits = files_of_test(run, photos)
    scaled = logits / 2
    margins = np.abs(scaled[:, 1] - scaled[:, 0])
    cut = float(np.median(margins))
    rejection = {"rule": "answered", "share": 0.5, "log_odds": cut, "probability": 0.6}
    decision = make_decision(run, names=["cat", "dog"], threshold=None, rejection=rejection)
    write_decision(run, decision)
    lines = []
    counts = label(run, paths, lines, as_json=True)
    rows = json.loads("\n".join(lines))["rows"]
    is_unsure = [row["label"] is None for row in rows]
    assert is_unsure == (margins < cut).tolist()
    assert counts["unsure"] == sum(is_unsure) > 0
    for row in rows:
        assert row["problem"] == ("too unsure: below 0.6000" if row["label"] is None else "")
        assert row["probability"] == max(row["probabilities"])
    refuse_unreadable_rows(counts)
    assert describe_counts(counts).endswith(f", {sum(is_unsure)} too unsure for one.")
    lines.clear()
    label(run, paths, lines)
    assert sum("(unsure)" in line for line in lines) == sum(is_unsure)
    lines.clear()
    counts = label(run, paths, lines, Wish(use_decision=False))
    assert counts == {"labelled": len(paths)}


def test_labels_are_those_of_the_python_api(run, photos):
    lines = []
    label(run, [photos / "dog"], lines, as_json=True)
    rows = json.loads("\n".join(lines))["rows"]
    found = predict_images(run, photos / "dog")
    assert [row["file"] for row in rows] == found.names
    assert [row["label"] for row in rows] == [found.class_names[place] for place in found.answers]


REFUSALS = {
    "no run": (lambda run: run / "gone", ["x.png"], {}, {}, "is no run folder|no run"),
    "no image": (lambda run: run, ["*.gif"], {}, {}, "which matches no file"),
    "backend": (lambda run: run, ["x.png"], {"backend": "jax"}, {}, "Got backend='jax'"),
    "batch": (lambda run: run, ["x.png"], {"batch_size": 0}, {}, "Got batch_size=0"),
    "threads": (lambda run: run, ["x.png"], {"num_threads": 0}, {}, "Got --workers 0"),
    "checkpoint": (lambda run: run, ["x.png"], {"checkpoint": "no"}, {}, "which does not exist"),
    "csv": (lambda run: run, ["x.png"], {}, {"csv_file": "run.json"}, "made .File exists"),
    "folder": (lambda run: run, ["x.png"], {}, {"csv_file": "no/a.csv"}, "which cannot be made"),
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS)
def test_wrong_use_is_refused_before_the_work(refusal, run, monkeypatch):
    find, paths, wish, destination, words = REFUSALS[refusal]
    monkeypatch.setenv("POC_TORCH_PYTHON", "/no/worker/is/started")
    monkeypatch.setenv("POC_TF_PYTHON", "/no/worker/is/started")
    places = {key: run / value for key, value in destination.items()}
    before = (run / "run.json").read_bytes()
    lines = []
    with pytest.raises(UsageError, match=words):
        label(find(run), paths, lines, Wish(**wish), **places)
    assert lines == []
    assert (run / "run.json").read_bytes() == before


def test_a_full_disk_is_said_in_a_sentence(run, photos):
    """Linux has a device that is always full; nothing of it can be removed."""
    answering = read_trained(run, note=ignore).answering
    with suppress(OSError), Path("/dev/full").open("w", encoding="utf-8") as file:
        writer = CsvRows(file, answering.class_names)
        with pytest.raises(UsageError, match=r"^Got --csv '/dev/full', .*space.* incomplete"):
            writer.close()


class Stopping:
    """Rows of which one stops the command, as Ctrl-C does."""

    def __init__(self, after):
        self.after = after

    def __call__(self, rows, writers):
        for number, row in enumerate(rows):
            if number == self.after:
                raise KeyboardInterrupt
            for writer in writers:
                writer.add(row)


@pytest.mark.parametrize("after", [0, 2])
def test_a_stopped_command_says_that_its_file_is_incomplete(
    after, run, photos, tmp_path, monkeypatch
):
    """Without a row, the file goes, so that it is not in the way of the next try."""
    monkeypatch.setattr(module, "count_rows", Stopping(after))
    place, notes = tmp_path / "rows.csv", []
    with pytest.raises(KeyboardInterrupt):
        label_files(
            run,
            [str(photos / "cat")],
            Wish(),
            Destination(write=print, csv_file=place),
            note=notes.append,
            report=unheard,
        )
    assert place.exists() == (after > 0)
    if after:
        assert len(place.read_text().splitlines()) == 1 + after
        assert notes == [
            f"{place} is incomplete: it has the rows of the first images alone. Remove it before "
            "you try again."
        ]
    else:
        assert notes == []


def test_a_network_that_does_not_start_leaves_no_file(run, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("POC_TORCH_PYTHON", "/no/worker/is/started")
    with pytest.raises((UsageError, OSError, RuntimeError)):
        label(run, [photos / "cat"], [], csv_file=tmp_path / "rows.csv")
    assert not (tmp_path / "rows.csv").exists()
