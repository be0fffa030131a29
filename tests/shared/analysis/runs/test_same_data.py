"""Runs that are pooled, paired or put into one row were trained on the same data."""

import numpy as np
import pytest

from poc.shared.actions.probe import STARTS, read_probe
from poc.shared.analysis.report.page import write_report
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.sweep_definition import store_definition
from poc.shared.errors import UsageError
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.spec.run import BACKENDS, RunSpec
from poc.tests.shared.analysis.report.test_page import make_run


def write_fold(folder, fold, names=("a", "b"), source="s", split=None):
    """A run of a probe: four test images, the first three right."""
    made = RunFolder.create(folder)
    data = {"class_names": list(names), "source_fingerprint": source}
    run = RunSpec.parse({}, "").model_dump(mode="json")
    made.write_run({"run": run, "data": {**data, "split_fingerprint": split or f"fold {fold}"}})
    labels = np.array([0, 1, 0, 1])
    logits = np.eye(2)[[0, 1, 0, 0]]
    made.write_predictions(logits, labels, [f"{fold}/{index}" for index in range(4)])


def write_probe(root, odd=None, **changes):
    """Two folds of both starts in both backends; `odd` is trained on something else."""
    axes = [f"backend={','.join(BACKENDS)}", "split.fold=0,1"]
    for start in STARTS:
        cells = load_sweep(None, ["split.kind=kfold", "split.num_folds=2"], axes)
        store_definition(cells, root / start, "")
        for cell in cells:
            backend, fold = cell.settings["backend"], cell.settings["split.fold"]
            own = changes if (start, backend, fold) == odd else {}
            write_fold(root / start / cell.name, fold, **own)
    return root


def test_a_probe_of_one_data_set_is_read(tmp_path):
    rows = read_probe(write_probe(tmp_path / "probe"), 2)["rows"]
    assert [(row["hits"], row["images"]) for row in rows] == [(6, 8)] * 4


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"names": ("a", "c")}, "the classes 'a', 'b' and 'a', 'c'"),
        ({"names": ("b", "a")}, "the classes 'a', 'b' and 'b', 'a'"),
        ({"source": "t"}, "other images or labels"),
        ({"split": "x"}, "other parts"),
    ],
)
def test_a_probe_whose_data_changed_on_the_way_is_refused(changes, word, tmp_path):
    root = write_probe(tmp_path / "probe", odd=("drawn", "torch", 1), **changes)
    with pytest.raises(UsageError, match=word) as caught:
        read_probe(root, 2)
    assert "drawn/backend=torch,fold=1" in str(caught.value)


def test_a_report_keeps_runs_of_other_class_names_apart(tmp_path):
    """Same settings, ids and split, as of an archive whose list of names was changed."""
    for seed in range(4):
        folder = make_run(tmp_path / f"seed {seed}", k=3, backend="tf", seed=seed)
        if seed > 1:
            record = RunFolder(folder).read_run()
            record["data"]["class_names"].reverse()
            RunFolder(folder).write_run(record)
    result = write_report([tmp_path], tmp_path / "report", title="x", command="poc report")
    lines = (tmp_path / "report" / "rows.csv").read_text().splitlines()
    assert len(lines) == 3
    assert any("data" in finding for finding in result["findings"])
