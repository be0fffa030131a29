"""Runs whose files contradict each other, copies of a run, and data that changed under its name."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from poc.cli import cli
from poc.shared.analysis.report.page import list_left_out, read_study, write_study
from poc.shared.analysis.runs.groups import DataKey, name_data
from poc.shared.analysis.verdicts.findings import collect_findings
from poc.shared.analysis.verdicts.headline import read_headline
from poc.shared.engine.folder.run_folder import RunFolder
from poc.tests.shared.analysis.report.test_page import make_run


def reasons(*folders: Path) -> dict[str, str]:
    """Folder name -> why it is left out."""
    return {Path(problem.name).name: problem.reason for problem in read_study(folders).problems}


def answers(run: Path) -> dict[str, Any]:
    """Logits, labels and ids of a run."""
    with np.load(run / "predictions.npz") as file:
        return dict(file)


def flip(run: Path) -> None:
    """The first right answer becomes a wrong one."""
    own = answers(run)
    first = int((own["logits"].argmax(axis=1) == own["labels"]).argmax())
    own["logits"][first] = np.eye(4)[(own["labels"][first] + 1) % 4]
    RunFolder(run).write_predictions(**own)


def drop_last(run: Path) -> None:
    """One image fewer, the accuracy of what is left."""
    own = {name: values[:-1] for name, values in answers(run).items()}
    RunFolder(run).write_predictions(**own)
    folder = RunFolder(run)
    share = float((own["logits"].argmax(axis=1) == own["labels"]).mean())
    folder.write_summary({**folder.read_summary(), "test_accuracy": share})


def repeat_id(run: Path) -> None:
    own = answers(run)
    own["ids"][1] = own["ids"][0]
    RunFolder(run).write_predictions(**own)


def keep_split(run: Path, ids: list[str], *, members: int = 4) -> None:
    """A split whose test part (the bit of 4) these ids are."""
    held = np.full(len(ids), members, dtype=np.uint8)
    np.savez(
        run / "split.npz", ids=np.array(ids), members=held, contents=np.zeros(len(ids), np.uint64)
    )


CONTRADICTIONS = {
    "one answer": (
        flip,
        r"^Got predictions.npz with a test accuracy of 0\.\d{4}. Expected 0\.\d{4}, the value in "
        "summary.json",
    ),
    "one image": (
        drop_last,
        "^Got predictions.npz with 399 test images. Expected 400, the count in run.json",
    ),
    "an id twice": (repeat_id, "^Got a malformed predictions.npz, in which an id occurs twice"),
    "other ids": (
        lambda run: keep_split(run, [f"image {index}" for index in range(1, 401)]),
        r"with other test images than split.npz \(2 ids differ, the first is 'image 0'\)",
    ),
    "no split": (lambda run: (run / "split.npz").write_bytes(b"PK"), "^Got a malformed split.npz"),
    "half of it": (
        lambda run: (run / "predictions.npz").write_bytes(
            (run / "predictions.npz").read_bytes()[:-200]
        ),
        "^Got a damaged predictions.npz",
    ),
    "no logits": (
        lambda run: np.savez(run / "predictions.npz", labels=np.zeros(3)),
        "^Got predictions.npz without 'logits'",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_run_whose_files_contradict_each_other_is_left_out(case: str, tmp_path: Path) -> None:
    contradict, message = CONTRADICTIONS[case]
    make_run(tmp_path / "whole")
    contradict(make_run(tmp_path / "odd", seed=1))
    found = reasons(tmp_path)
    assert list(found) == ["odd"]
    assert re.search(message, found["odd"]), found


def test_the_split_that_a_run_keeps_may_say_the_same(tmp_path: Path) -> None:
    """In composed form; other parts hold other ids."""
    run = make_run(tmp_path / "run")
    own = answers(run)
    own["ids"] = np.array(["u\u0308ber", *own["ids"][1:]])
    RunFolder(run).write_predictions(**own)
    keep_split(run, ["\u00fcber", *own["ids"][1:]])
    assert reasons(tmp_path) == {}


def test_missing_predictions_are_told_and_the_row_stays(tmp_path: Path) -> None:
    make_run(tmp_path / "1", k=1)
    (make_run(tmp_path / "3", k=3) / "predictions.npz").unlink()
    study = read_study([tmp_path])
    assert [group.label for group in study.groups] == ["k=1", "k=3"]
    found = [text for text in collect_findings(study.groups) if "no predictions.npz" in text]
    assert len(found) == 1
    assert str(tmp_path / "3") in found[0]
    assert str(tmp_path / "1") not in found[0]


def test_a_copy_of_a_run_is_counted_once_and_told(tmp_path: Path) -> None:
    """Another seed, other answers or another machine make another run."""
    first = make_run(tmp_path / "a")
    shutil.copytree(first, tmp_path / "b")
    make_run(tmp_path / "c", processor="another one")
    make_run(tmp_path / "d", seed=1)
    (changed,) = read_study([make_run(tmp_path / "e", accuracy=0.7)]).groups
    study = read_study([tmp_path])
    names = {Path(run.name).name for group in study.groups for run in group.runs}
    assert names == {*"acde"}
    assert changed.runs[0].predictions is not None
    assert list(reasons(tmp_path)) == ["b"]
    assert f"a copy of {first}: the same settings, seed" in reasons(tmp_path)["b"]
    alone = read_headline([first]).sentences
    assert read_headline([first, tmp_path / "b"]).sentences == alone
    done = CliRunner().invoke(
        cli, ["report", str(tmp_path), "--output", str(tmp_path / "report"), "--title", "x"]
    )
    assert done.exit_code == 0, done.output
    assert f"- Left out: {tmp_path / 'b'}: a copy of {first}" in done.output


def test_a_copy_without_a_test_part_is_found_by_its_epochs(tmp_path: Path) -> None:
    for name, num_epochs in (("a", 3), ("b", 3), ("c", 4)):
        (make_run(tmp_path / name, num_epochs=num_epochs) / "predictions.npz").unlink()
    assert list(reasons(tmp_path)) == ["b"]


def test_the_terminal_names_the_first_that_are_left_out() -> None:
    rows = [{"folder": f"f{index}", "reason": "why"} for index in range(8)]
    lines = list_left_out(rows)
    assert lines[0] == "Left out: f0: why."
    assert lines[5:] == ["Left out: 3 more; the page names them."]
    assert list_left_out(rows[:5]) == lines[:5]


def set_content(run: Path, fingerprint: str) -> Path:
    """A run on other images under the same name."""
    folder = RunFolder(run)
    record = folder.read_run()
    record["data"]["source_fingerprint"] = fingerprint
    folder.write_run(record)
    return run


def test_runs_before_and_after_a_change_of_the_data_are_never_pooled(tmp_path: Path) -> None:
    """The path and the split are the same; seed 2 saw other images."""
    for seed in range(3):
        set_content(make_run(tmp_path / "runs" / str(seed), seed=seed), "ab"[seed == 2] * 64)
    study = read_study([tmp_path / "runs"])
    assert sorted(len(group.runs) for group in study.groups) == [1, 2]
    assert [pair.reason for pair in study.pairs if not pair.is_baseline] == ["other data"]
    assert {sentence.split(": ")[0] for sentence in study.headline.sentences[:-1]} == {
        "On generated (content aaaaaaaa)",
        "On generated (content bbbbbbbb)",
    }
    result = write_study(study, tmp_path / "report", title="", command="")
    (told,) = [text for text in result["findings"] if "have changed" in text]
    assert told.startswith("The images or labels of generated have changed between its runs (the")
    assert "aaaaaaaa and bbbbbbbb" in told
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "generated (content bbbbbbbb)" in page


def test_other_classes_of_the_same_images_are_no_change_of_the_data(tmp_path: Path) -> None:
    """Their fingerprints differ, since it covers the labels."""
    set_content(make_run(tmp_path / "runs" / "a"), "a" * 64)
    folder = RunFolder(set_content(make_run(tmp_path / "runs" / "b", seed=1), "b" * 64))
    record = folder.read_run()
    record["run"]["data"]["class_pattern"] = "(cat|dog)"
    folder.write_run(record)
    groups = read_study([tmp_path / "runs"]).groups
    assert len(groups) == 2
    assert [text for text in collect_findings(groups) if "have changed" in text] == []


def test_data_sets_of_one_source_are_told_apart() -> None:
    keys = [
        DataKey("a", "1" * 64, "2" * 64, ()),
        DataKey("a", "1" * 64, "3" * 64, ()),
        DataKey("b", "1" * 64, "3" * 64, ()),
        DataKey("c", "", "3" * 64, ()),
        DataKey("c", "1" * 64, "3" * 64, ()),
    ]
    assert list(name_data(keys).values()) == [
        "a (split 22222222)",
        "a (split 33333333)",
        "b",
        "c (content unknown)",
        "c (content 11111111)",
    ]
