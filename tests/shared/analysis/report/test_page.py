"""The report of generated run folders: what stands in it, what is left out, what is escaped."""

import json
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from poc.shared.analysis.figures.confusion import draw_confusion
from poc.shared.analysis.report.page import write_report
from poc.shared.analysis.runs.groups import group_runs
from poc.shared.analysis.runs.reading import read_runs
from poc.shared.analysis.verdicts.pairs import compare_pairs
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec

HOSTILE = [
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "$\\frac{$|`*_[a](javascript:alert(4))",
    "\x00\x1b[31m\u202egnp\n\n# heading",
    "{{ 7 * 7 }}{% raw %}",
]
CHROMIUM = shutil.which("chromium")
# Of `make_study`.
NUM_PANELS = 6 + 2 + 2 * 10 + 10 + 3 * 10 + 5


def make_run(
    path: Path,
    *,
    accuracy: float = 0.8,
    k: int = 3,
    backend: str = "torch",
    seed: int = 0,
    num_images: int = 400,
    class_names: list[str] | None = None,
    num_epochs: int = 8,
    val_images: int = 400,
    **environment: Any,
) -> Path:
    """A finished run's folder as the engine leaves it, its test accuracy about `accuracy`."""
    names = class_names or [f"class {index}" for index in range(4)]
    random = np.random.default_rng([seed, k, len(backend)])
    labels = np.arange(num_images, dtype=np.int64) % len(names)
    is_right = random.random(num_images) < accuracy
    predicted = np.where(is_right, labels, (labels + 1) % len(names))
    logits = np.eye(len(names))[predicted].astype(np.float32) * 3
    folder = RunFolder.create(path)
    run = RunSpec.parse(
        {"backend": backend, "seed": seed, "model": {"name": "lightnet_plain"}}
        | ({} if k == 3 else {"model": {"name": "lightnet_plain", "options": {"k": k}}}),
        "",
    )
    folder.write_run(
        {
            "format": "poc run 1",
            "status": "finished",
            "command": "poc run",
            "run": run.model_dump(mode="json"),
            "data": {
                "source": "generated",
                "source_fingerprint": "0" * 64,
                "split_fingerprint": "1" * 64,
                "counts": {"train": 1000, "val": val_images, "test": num_images},
                "class_names": names,
            },
            "environment": {
                "python": "3.11",
                "platform": "Linux",
                "processor": "a processor",
                "num_cpus": 2,
                "git_commit": "abc1234",
                "framework": backend,
                "device": "cpu",
            }
            | environment,
        }
    )
    for epoch in range(1, num_epochs + 1):
        share = accuracy * (1 - 0.5**epoch)
        line = {"train/loss": 2 / epoch, "val/loss": 2.2 / epoch}
        line |= {"train/accuracy": share + 0.02, "val/accuracy": share, "epoch": epoch}
        folder.append_metrics(line)
    folder.write_predictions(logits, labels, [f"image {index}" for index in range(num_images)])
    folder.write_summary(
        {
            "method": "lightlayers",
            "model": "lightnet_plain",
            "backend": backend,
            "seed": seed,
            "total_parameters": 906 + 1743 * k,
            "trainable_parameters": 682 + 1743 * k,
            "weight_bytes": 4 * (906 + 1743 * k),
            "macs": 320_000 * k,
            "best_epoch": num_epochs,
            "epoch_seconds": 1.5 + k / 10,
            "total_seconds": 12.0 + k,
            "peak_memory_bytes": 800_000_000,
            "test_accuracy": float(is_right.mean()),
            "test_balanced_accuracy": float(is_right.mean()),
            "test_loss": 0.5,
            "best_val_accuracy": accuracy,
        }
    )
    return path


def make_study(root: Path, **settings: Any) -> Path:
    """30 runs: k=1..5, both backends, three seeds."""
    for k in range(1, 6):
        for backend in ("tf", "torch"):
            for seed in range(3):
                name = f"k={k},backend={backend},seed={seed}"
                accuracy = 0.62 + 0.05 * k + 0.01 * seed
                make_run(
                    root / name, k=k, backend=backend, seed=seed, accuracy=accuracy, **settings
                )
    return root


def report(output: Path, *folders: Path) -> dict[str, Any]:
    return write_report(list(folders), output, title="A study", command="poc report")


class Reader(HTMLParser):
    """Tags, attributes and text of a page; text of scripts and styles apart."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def test_thirty_runs_in_time_with_everything_on_the_page(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    # Seconds of the processor: those of the clock tell how busy the machine is.
    started = time.process_time()
    result = report(tmp_path / "report", study)
    assert time.process_time() - started < 10
    assert len(result["rows"]) == 10
    assert result["problems"] == []
    page = read_page(tmp_path / "report" / "report.html")
    for row in result["rows"]:
        assert row["row"] in page.text
    for title in ("Table 1", "Paired comparisons", "Learning curves: accuracy", "Environment"):
        assert title in page.text
    assert "majority baseline: always “class 0”" in page.text
    # Bars, accuracy against cost, two sets of learning curves, two of the ranking, reliability,
    # rejection, ten confusion matrices; each with its numbers as a table. Ten tables of classes,
    # two albums of each row, and one of each of five pairs of frameworks.
    tags = [tag for tag, _ in page.tags]
    assert [tags.count(tag) for tag in ("figure", "figcaption", "details")] == [18, 18, 53]
    # Six quantities, two costs, ten rows' curves twice, ten matrices; three pictures of ten rows,
    # and one of five settings.
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == NUM_PANELS
    assert all(picture["aria-label"] for picture in pictures)


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    report(tmp_path / "report", make_run(tmp_path / "run"))
    page = read_page(tmp_path / "report" / "report.html")
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), f"{tag} loads {value}"
    source = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "@import" not in source
    assert re.findall(r"url\((?!#)[^)]*\)", source) == []


def test_table_1_holds_hand_computed_means_and_deviations(tmp_path: Path) -> None:
    """Lopsided seeds: the mean is .79, the median .72; the variance is .0386 / 2 = .0193."""
    for seed, accuracy in enumerate((0.7, 0.72, 0.95)):
        run = make_run(tmp_path / "study" / f"seed={seed}", seed=seed)
        labels = np.arange(400, dtype=np.int64) % 4
        predicted = np.where(np.arange(400) < 400 * accuracy, labels, (labels + 1) % 4)
        ids = [f"image {index}" for index in range(400)]
        RunFolder(run).write_predictions(np.eye(4)[predicted], labels, ids)
        summary = RunFolder(run).read_summary()
        RunFolder(run).write_summary(summary | {"test_accuracy": accuracy})
    result = report(tmp_path / "report", tmp_path / "study")
    assert len(result["rows"]) == 1
    assert result["rows"][0]["test_accuracy_mean"] == pytest.approx(0.79)
    assert result["rows"][0]["test_accuracy_sd"] == pytest.approx(0.0193**0.5)
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "0.7900 ± 0.1389" in markdown
    frame = pd.read_csv(tmp_path / "report" / "rows.csv")
    assert frame["test_accuracy_mean"].tolist() == pytest.approx([0.79])
    assert pd.read_csv(tmp_path / "report" / "runs.csv")["test_accuracy"].tolist() == [
        0.7,
        0.72,
        0.95,
    ]
    assert len(pd.read_csv(tmp_path / "report" / "curves.csv")) == 3 * 8


def test_hostile_names_are_text_everywhere(tmp_path: Path) -> None:
    names = [*HOSTILE, *(f"class {index}" for index in range(3))]
    folder = tmp_path / "<img src=x onerror=alert(5)>"
    make_run(folder / "run", class_names=names, processor=HOSTILE[0])
    (folder / "broken" / "checkpoints").mkdir(parents=True)
    write_report([folder], tmp_path / "report", title=HOSTILE[1], command="poc report '<b>x</b>'")
    page = read_page(tmp_path / "report" / "report.html")
    assert {tag for tag, _ in page.tags} & {"script", "img", "b", "iframe"} == set()
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count(HOSTILE[0]) >= 3
    assert "{{ 7 * 7 }}" in page.text
    assert "\x00" not in page.text
    assert "\u202e" not in page.text
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert "](javascript" not in markdown
    assert "\n# heading" not in markdown
    counts = pd.read_csv(tmp_path / "report" / "confusion.csv")
    assert HOSTILE[0] in counts["true"].tolist()


def test_many_classes_are_reported(tmp_path: Path) -> None:
    names = [f"breed {index}" for index in range(120)]
    report(tmp_path / "report", make_run(tmp_path / "run", class_names=names, num_images=480))
    assert "The commonest confusions" in read_page(tmp_path / "report" / "report.html").text


def test_a_thousand_classes_give_a_small_page(tmp_path: Path) -> None:
    """The page does not grow with the square of the classes; the CSV holds every count."""
    names = [f"breed {index}" for index in range(1000)]
    make_run(tmp_path / "run", class_names=names, num_images=3000, accuracy=0.5)
    start = time.perf_counter()
    report(tmp_path / "report", tmp_path / "run")
    seconds = time.perf_counter() - start
    page = read_page(tmp_path / "report" / "report.html")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "report").iterdir()}
    print(f"1,000 classes: {seconds:.1f} s, {sizes}")
    assert max(sizes.values()) < 500_000
    counts = pd.read_csv(tmp_path / "report" / "confusion.csv")
    wrong = counts[counts["true"] != counts["predicted"]]
    first = wrong.sort_values("images", ascending=False, kind="stable").iloc[0]
    assert counts["images"].sum() == 3000
    assert "20 commonest confusions of lightnet_plain torch among 1,000 classes" in page.text
    assert f"{first['true']} → {first['predicted']}" in page.text


@pytest.mark.parametrize(("num_classes", "is_drawn"), [(50, True), (51, False)])
def test_squares_are_drawn_for_up_to_50_classes(
    num_classes: int, is_drawn: bool, tmp_path: Path
) -> None:
    names = [f"breed {index}" for index in range(num_classes)]
    runs, _ = read_runs([make_run(tmp_path / "run", class_names=names)])
    picture = draw_confusion(group_runs(runs)[0])
    assert picture is not None
    assert picture.description.startswith("Confusion matrix") == is_drawn


BREAKAGES = {
    "running": lambda run: RunFolder(run).mark("running"),
    "interrupted": lambda run: RunFolder(run).mark("interrupted"),
    "failed": lambda run: RunFolder(run).mark("failed", error="no memory <b>", failure="oom"),
    "no run.json": lambda run: (run / "run.json").unlink(),
    "no summary": lambda run: (run / "summary.json").unlink(),
    "half a run.json": lambda run: (run / "run.json").write_text('{"status": "fini'),
    "run.json is a list": lambda run: (run / "run.json").write_text("[1, 2]"),
    "run.json without data": lambda run: (run / "run.json").write_text('{"status": "finished"}'),
    "binary run.json": lambda run: (run / "run.json").write_bytes(b"\xff\x00\xfe"),
    "wrong type": lambda run: (run / "summary.json").write_text('{"backend": 3}'),
    "garbage metrics": lambda run: (run / "metrics.jsonl").write_text("{}\nnot json\n"),
    "text in metrics": lambda run: (run / "metrics.jsonl").write_text(
        '{"epoch": 1, "val/loss": "<b>"}\n'
    ),
    "no metrics": lambda run: (run / "metrics.jsonl").unlink(),
    "half predictions": lambda run: (run / "predictions.npz").write_bytes(b"PK\x03\x04half"),
    "empty predictions": lambda run: (run / "predictions.npz").write_bytes(b""),
    "pickled predictions": lambda run: np.savez(
        run / "predictions.npz", logits=np.array([{}]), labels=[0], ids=["a"]
    ),
    "other shapes": lambda run: np.savez(
        run / "predictions.npz", logits=np.zeros((2, 9)), labels=[0], ids=["a"]
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_folder_is_listed_and_the_rest_is_reported(breakage: str, tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "whole")
    BREAKAGES[breakage](make_run(tmp_path / "runs" / "broken", seed=1))
    result = report(tmp_path / "report", tmp_path / "runs")
    assert [len(row["runs"]) for row in result["rows"]] == [1]
    assert [Path(problem["folder"]).name for problem in result["problems"]] == ["broken"]
    assert result["problems"][0]["reason"]
    page = read_page(tmp_path / "report" / "report.html")
    assert result["problems"][0]["folder"] in page.text
    assert "b" not in {tag for tag, _ in page.tags}


def test_cells_that_have_not_run_are_listed(tmp_path: Path) -> None:
    make_run(tmp_path / "sweep" / "k=1,seed=0")
    definition = {"cells": [{"name": "k=1,seed=0"}, {"name": "k=2,seed=0"}]}
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(definition))
    _, problems = read_runs([tmp_path / "sweep"])
    assert [Path(problem.name).name for problem in problems] == ["k=2,seed=0"]


def test_a_run_named_twice_counts_once(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "one")
    runs, _ = read_runs([tmp_path / "runs", tmp_path / "runs" / "one"])
    assert len(runs) == 1


def test_nothing_to_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^Got .* without a finished run"):
        report(tmp_path / "report", tmp_path)
    with pytest.raises(UsageError, match=r"^Got .*, which is not a folder"):
        report(tmp_path / "report", tmp_path / "missing")


def findings(tmp_path: Path) -> str:
    result = report(tmp_path / "report", tmp_path / "runs")
    return "\n".join([*result["headline"], *result["findings"]])


def test_overlapping_intervals_are_no_ranking(tmp_path: Path) -> None:
    for k in (1, 3):
        for seed in range(3):
            make_run(tmp_path / "runs" / f"{k}-{seed}", k=k, seed=seed, accuracy=0.8)
    assert "not shown to be better than" in findings(tmp_path)


def test_a_large_difference_over_seeds_is_a_ranking(tmp_path: Path) -> None:
    for k, accuracy in ((1, 0.5), (3, 0.9)):
        for seed in range(3):
            make_run(tmp_path / "runs" / f"{k}-{seed}", k=k, seed=seed, accuracy=accuracy)
    found = findings(tmp_path)
    assert "not shown" not in found
    assert "k=3 is the best" in found


def test_single_runs_are_ranked_by_what_is_assumed_of_seeds(tmp_path: Path) -> None:
    """Sixty points are more than seeds do; four points are not. The page says what it assumes."""
    make_run(tmp_path / "runs" / "1", k=1, accuracy=0.3)
    make_run(tmp_path / "runs" / "3", k=3, accuracy=0.9)
    make_run(tmp_path / "runs" / "4", k=4, accuracy=0.86)
    found = findings(tmp_path)
    assert "k=3 has the highest mean" in found
    assert "It is better than k=1, but not shown to be better than k=4." in found
    assert "There is one seed per row" in found
    assert "is assumed, not measured" in found


def test_conditions_that_spoil_a_comparison_are_named(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "1", k=1, processor="another", val_images=16)
    make_run(tmp_path / "runs" / "3", k=3, accuracy=0.0, git_commit="fff0000")
    found = findings(tmp_path)
    assert "different machines" in found
    assert "states of the code" in found
    assert "16 of k=1" in found
    assert "Worse than the majority baseline 0.250 (always “class 0”): k=3." in found
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| machine |" in markdown


def test_a_constant_answer_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "1")
    labels = np.arange(400, dtype=np.int64) % 4
    logits = np.tile(np.float32([0, 1, 0, 0]), (400, 1))
    RunFolder(run).write_predictions(logits, labels, [f"image {index}" for index in range(400)])
    RunFolder(run).write_summary({**RunFolder(run).read_summary(), "test_accuracy": 0.25})
    assert "Collapsed" in findings(tmp_path)


def test_pairs_need_the_same_images(tmp_path: Path) -> None:
    """The order of the images does not matter; another image does."""
    first = make_run(tmp_path / "runs" / "1", k=1)
    make_run(tmp_path / "runs" / "3", k=3)
    with np.load(first / "predictions.npz") as file:
        logits, labels, ids = file["logits"], file["labels"], file["ids"]
    RunFolder(first).write_predictions(logits[::-1], labels[::-1], ids[::-1])
    pair = compare_pairs(group_runs(read_runs([tmp_path / "runs"])[0]))[0]
    assert pair.p_value is not None
    RunFolder(first).write_predictions(logits, labels, ["another", *ids[1:]])
    pair = compare_pairs(group_runs(read_runs([tmp_path / "runs"])[0]))[0]
    assert pair.p_value is None
    assert "other test images" in pair.reason


def test_defaults_and_the_same_settings_named_are_one_row(tmp_path: Path) -> None:
    for seed in range(2):
        run = make_run(tmp_path / "runs" / str(seed), seed=seed)
        if seed:
            record = RunFolder(run).read_run()
            record["run"]["model"]["options"] = {"k": 3}
            RunFolder(run).write_run(record)
    make_run(tmp_path / "runs" / "other", k=1)
    groups = group_runs(read_runs([tmp_path / "runs"])[0])
    assert [(group.label, len(group.runs)) for group in groups] == [("k=1", 1), ("k=3", 2)]


@pytest.mark.chromium
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_renders_without_a_word_on_the_console(tmp_path: Path) -> None:
    make_study(tmp_path / "study", class_names=HOSTILE)
    report(tmp_path / "report", tmp_path / "study")
    page, picture = tmp_path / "report" / "report.html", tmp_path / "page.png"
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        "--disable-background-networking", "--disable-sync", f"--user-data-dir={tmp_path / 'home'}",
        "--enable-logging=stderr", "--v=0", "--window-size=1280,1600",
    ]  # fmt: skip
    done = subprocess.run(
        [str(CHROMIUM), *flags, f"--screenshot={picture}", page.as_uri()],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert picture.stat().st_size > 50_000
    dump = subprocess.run(
        [str(CHROMIUM), *flags, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert dump.stdout.count("<svg") == NUM_PANELS
    assert "<script" not in dump.stdout
