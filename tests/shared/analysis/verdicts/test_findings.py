"""What a report says of pairs of rows, and of exported files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from poc.shared.actions.exports.export import KEYS
from poc.shared.analysis.runs.groups import group_runs
from poc.shared.analysis.runs.reading import Problem, read_runs
from poc.shared.analysis.tables.verdicts import judge_pair
from poc.shared.analysis.verdicts.findings import device_of
from poc.shared.analysis.verdicts.pairs import Pair, compare_pairs
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.files.collisions import digest_file
from poc.tests.shared.analysis.report.test_page import make_run, read_page, report

EXPORT = {
    "format": "onnx",
    "precision": "float32",
    "merges_shortcuts": True,
    "weight_bytes": 24_540,
    "safetensors_bytes": 30_000,
    "file_bytes": 41_000,
    "logit_error": 4e-7,
    "trained_accuracy": 0.8,
    "exported_accuracy": 0.8,
    "latency_1_seconds": 0.0001,
    "latency_64_seconds": 0.005,
}


def set_hits(run: Path, hits: np.ndarray) -> None:
    """Predictions that are right exactly where `hits` (N,) says so."""
    labels = np.arange(len(hits), dtype=np.int64) % 4
    predicted = np.where(hits, labels, (labels + 1) % 4)
    logits = np.eye(4, dtype=np.float32)[predicted]
    RunFolder(run).write_predictions(logits, labels, [f"image {i}" for i in range(len(hits))])
    set_summary(run, test_accuracy=float(hits.mean()))


def set_summary(run: Path, **values: float) -> None:
    """Other values in a run's row."""
    folder = RunFolder(run)
    folder.write_summary({**folder.read_summary(), **values})


def pair_of(folder: Path, right: dict[int, tuple[int, int]]) -> Pair:
    """The pair k=1, k=3 where seed -> (images that only k=1, only k=3 has right), of 400."""
    for seed, (only_first, only_second) in right.items():
        index = np.arange(400)
        for k, hits in (
            (1, index >= only_second),
            (3, (index < only_second) | (index >= only_second + only_first)),
        ):
            set_hits(make_run(folder / f"{k}-{seed}", k=k, seed=seed), hits)
    pair, *baselines = compare_pairs(group_runs(read_runs([folder])[0]))
    assert [item.is_baseline for item in baselines] == [True, True]
    return pair


def test_seeds_that_point_in_opposite_ways_name_no_row(tmp_path: Path) -> None:
    """The planted disagreement: each seed alone is significant, the means are 2.5 points apart."""
    pair = pair_of(tmp_path, {0: (40, 5), 1: (5, 60)})
    assert pair.difference == pytest.approx((45 - 65) / 800)
    assert pair.winner is None
    assert judge_pair(pair) == "no difference shown"


def test_seeds_that_agree_name_the_row(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, {0: (5, 60), 1: (6, 40), 2: (4, 50)})
    assert pair.winner == "k=3"
    assert judge_pair(pair) == "k=3 is better"
    assert pair.high is not None
    assert pair.high < 0


def test_the_same_seed_twice_is_no_second_seed(tmp_path: Path) -> None:
    """A copy of a run agrees with itself: it narrows nothing."""
    make_run(tmp_path / "one" / "a")
    make_run(tmp_path / "two" / "a")
    make_run(tmp_path / "two" / "b")
    (single,) = group_runs(read_runs([tmp_path / "one"])[0])
    (double,) = group_runs(read_runs([tmp_path / "two"])[0])
    assert len(double.runs) == 2
    assert double.evidence == single.evidence
    assert double.interval == single.interval


def test_rows_without_predictions_have_an_interval_and_no_pair(tmp_path: Path) -> None:
    for k in (1, 3):
        for seed in range(2):
            run = make_run(tmp_path / f"{k}-{seed}", k=k, seed=seed, accuracy=0.5 + 0.1 * k)
            (run / "predictions.npz").unlink()
    groups = group_runs(read_runs([tmp_path])[0])
    (pair,) = compare_pairs(groups)
    assert (pair.winner, pair.reason) == (None, "other test images, or predictions missing")
    for group in groups:
        assert group.interval is not None
        low, high = group.interval
        assert low < np.mean(group.values("test_accuracy")) < high


def test_exports_join_the_report(tmp_path: Path) -> None:
    for seed in range(2):
        run = make_run(tmp_path / "runs" / str(seed), seed=seed)
        keys = ("format", "precision", "merges_shortcuts")
        RunFolder(run).exports.add({**EXPORT, "file_bytes": 1}, keys)
        RunFolder(run).exports.add({**EXPORT, "file_bytes": 41_000 + 2000 * seed}, keys)
        RunFolder(run).exports.add({**EXPORT, "precision": "int8", "file_bytes": 9_000}, keys)
    report(tmp_path / "report", tmp_path / "runs")
    frame = pd.read_csv(tmp_path / "report" / "exports.csv")
    assert frame["file_bytes"].tolist() == [41_000, 9_000, 43_000, 9_000]
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| onnx float32 | 2 | 24.5 ± 0.0 | 30.0 ± 0.0 | 42.0 ± 1.4 |" in markdown
    assert "Exported files" in read_page(tmp_path / "report" / "report.html").text


def test_an_export_at_a_second_place_is_no_second_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for name, size in (("a.onnx", 9_000), ("b.onnx", 42_000)):
        (tmp_path / name).write_text(name)
        row = {**EXPORT, "file": str(tmp_path / name), "file_bytes": size}
        row["sha256"] = digest_file(tmp_path / name)
        RunFolder(run).exports.add(row, KEYS)
    report(tmp_path / "report", run)
    assert len(pd.read_csv(tmp_path / "report" / "exports.csv")) == 2
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| onnx float32 | 1 | 24.5 | 30.0 | 42.0 |" in markdown


def test_without_exports_the_report_has_no_such_table(tmp_path: Path) -> None:
    report(tmp_path / "report", make_run(tmp_path / "run"))
    assert "Exported files" not in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["{", '{"format": 3}', '[{"format": "onnx"}]', "[3]"])
def test_malformed_exports_are_a_problem_of_that_run(content: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "broken")
    make_run(tmp_path / "runs" / "whole", seed=1)
    (run / "exports.json").write_text(content)
    runs, problems = read_runs([tmp_path / "runs"])
    assert len(runs) == 1
    assert [Path(problem.name).name for problem in problems] == ["broken"]
    assert all(isinstance(problem, Problem) and problem.reason for problem in problems)


@pytest.mark.parametrize(
    ("recorded", "asked", "expected"),
    [
        ("cpu", "auto", "cpu"),
        ("NVIDIA H200", "auto", "nvidia h200"),
        # What older records have, of TensorFlow and of PyTorch on a machine with a GPU.
        ("/device:CPU:0", "auto", "cpu"),
        ("/device:CPU:0, /device:GPU:0", "auto", "gpu"),
        ("NVIDIA H200", "cpu", "cpu"),
    ],
)
def test_the_device_of_a_record(recorded, asked, expected):
    assert device_of({"device": recorded}, {"device": asked}) == expected
