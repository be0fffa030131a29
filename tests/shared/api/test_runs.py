"""`read_runs`: one table of finished runs, and a warning for every run that is not in it."""

import shutil

import pandas as pd
import pytest

from poc.shared.api.runs import read_runs
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.tests.faults.test_resume import RUN, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of the stub that differ in the seed and one of another width."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (1, 0):
        train(root / f"seed{seed}", {**RUN, "num_epochs": 1, "seed": seed})
    wider = {"name": "lightnet_plain", "options": {"widths": [2, 3], "k": 1}}
    train(root / "wider", {**RUN, "num_epochs": 1, "model": wider})
    return root


def test_a_row_per_run_with_the_columns_of_a_report(folder):
    table = read_runs(folder)
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 3
    assert table.columns[0] == "row"
    for name in ("method", "model", "backend", "seed", "test_accuracy", "total_seconds", "folder"):
        assert name in table, name
    seeds = table[table["folder"].str.contains("seed")]
    assert seeds["seed"].tolist() == [0, 1]
    assert seeds["row"].nunique() == 1
    assert table["row"].nunique() == 2
    for line in table.to_dict("records"):
        assert line["test_accuracy"] == RunFolder(line["folder"]).read_summary()["test_accuracy"]


def test_one_folder_or_several(folder):
    one = read_runs(str(folder / "seed0"))
    several = read_runs([folder / "seed0", folder / "seed1"])
    assert (len(one), len(several)) == (1, 2)


def test_runs_that_are_left_out_are_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    RunFolder(tmp_path / "runs" / "seed1").mark("failed", error="it broke")
    shutil.copytree(tmp_path / "runs" / "seed0", tmp_path / "runs" / "seed0-again")
    with pytest.warns(UserWarning, match="is left out: ") as caught:
        table = read_runs(tmp_path / "runs")
    assert len(table) == 2
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2
    assert any("seed1 is left out: Got a run that failed" in text for text in texts)
    assert any("seed0-again is left out: a copy of" in text for text in texts)
    assert {warning.filename for warning in caught} == {__file__}


def test_no_finished_run_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="without a finished run"):
        read_runs(tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        read_runs(tmp_path / "gone")


def test_what_is_no_folder_is_refused():
    with pytest.raises(UsageError, match=r"^Got no folder\."):
        read_runs([])
    for value, words in {None: "=None", 3: "=3", b"x": "=b'x'"}.items():
        with pytest.raises(UsageError, match=rf"^Got folders{words}\."):
            read_runs(value)
        with pytest.raises(UsageError, match=rf"^Got folders{words}\."):
            read_runs([value])
