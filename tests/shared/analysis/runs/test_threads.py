"""The number of threads of a run: in its row and in every table, for both backends alike."""

import pandas as pd
import pytest

from poc.shared.analysis.report.page import write_report
from poc.shared.analysis.report.tables import main_table
from poc.shared.analysis.runs.groups import group_runs
from poc.shared.analysis.runs.reading import read_runs
from poc.shared.analysis.tables.terminal import comparison_table, sweep_table
from poc.shared.analysis.timing.report import rates_table
from poc.shared.analysis.timing.samples import derive
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.machine.environment import count_threads
from poc.tests.shared.analysis.report.test_page import make_run
from poc.tests.shared.engine.timing.test_rounds import MACHINE, make_bench, make_process


def record(first, *later):
    """`run.json` of a run that began on `first` threads; none: resumed without a change."""
    resumes = [{} if count is None else {"environment": threads(count)} for count in later]
    return {"environment": threads(first), **({"resumes": resumes} if resumes else {})}


def threads(count):
    return {} if count is None else {"intra_op_threads": count}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (record(2), 2),
        (record(1), 1),
        (record(2, None, None), 2),
        (record(2, 2), 2),
        (record(2, 1), "2, then 1"),
        # A resume that names no environment had that of the beginning.
        (record(2, 1, None), "2, then 1, then 2"),
        (record(2, 1, 1), "2, then 1"),
        (record(None), None),
        # TensorFlow's own choice, as records had it that did not tell the number.
        (record(0), None),
        (record(0, 2), "unknown, then 2"),
    ],
)
def test_a_record_tells_its_threads(content, expected):
    assert count_threads(content) == expected


def cells(table, name):
    """The cells of a terminal table's column."""
    column = next(column for column in table.columns if column.header == name)
    return list(column.cells)


ROWS = [
    {"backend": "tf", "seed": 0, "threads": 2, "test_accuracy": 0.5},
    {"backend": "torch", "seed": 0, "threads": 1, "test_accuracy": 0.5},
]


def test_the_comparison_names_the_threads_of_both():
    table = comparison_table(ROWS)
    place = cells(table, "").index("threads")
    assert [cells(table, name)[place] for name in ("tf", "torch")] == ["2", "1"]


def test_a_sweeps_rows_name_every_number_of_threads():
    common = {"status": "finished", "total_parameters": 5}
    settings = [{"k": 1}, {"k": 1}, {"k": 3}, {"k": 5}]
    counts = [2, 1, 2, None]
    rows = [
        {**common, "seed": seed, "settings": setting, "threads": count}
        for seed, (setting, count) in enumerate(zip(settings, counts, strict=True))
    ]
    assert cells(sweep_table(rows), "threads") == ["1; 2", "2", "-"]


def test_a_report_names_the_threads_and_warns_where_they_differ(tmp_path):
    for backend, count in (("tf", 2), ("torch", 1)):
        make_run(tmp_path / "study" / backend, backend=backend, intra_op_threads=count)
    make_run(tmp_path / "old", backend="tf", k=5, intra_op_threads=0)
    runs, _ = read_runs([tmp_path / "study", tmp_path / "old"])
    assert [run.row["threads"] for run in runs] == [2, 1, None]
    table = main_table(group_runs(runs))
    place = list(table.columns).index("threads")
    assert [row[place] for row in table.rows[:3]] == ["2", "1", "-"]
    result = write_report([tmp_path / "study"], tmp_path / "report", title="", command="")
    found = [finding for finding in result["findings"] if "numbers of threads" in finding]
    assert len(found) == 1
    assert "(1; 2)" in found[0]
    for name in ("rows.csv", "runs.csv"):
        assert pd.read_csv(tmp_path / "report" / name)["threads"].tolist() == [2, 1]


def test_a_report_of_equal_threads_does_not_warn(tmp_path):
    for backend in ("tf", "torch"):
        make_run(tmp_path / "study" / backend, backend=backend, intra_op_threads=2)
    result = write_report([tmp_path / "study"], tmp_path / "report", title="", command="")
    assert not any("numbers of threads" in finding for finding in result["findings"])


def test_what_the_summary_says_wins_over_the_record(tmp_path):
    run = make_run(tmp_path / "run", intra_op_threads=2)
    folder = RunFolder(run)
    folder.write_summary({**folder.read_summary(), "threads": "2, then 1"})
    runs, _ = read_runs([run])
    assert runs[0].row["threads"] == "2, then 1"


def test_a_benchs_rates_name_the_threads_of_each_side():
    processes = [
        make_process(turn, side, [0.01] * 3, environment={**MACHINE, **threads(count)})
        for side, counts in enumerate([(2, 1), (0, 0)])
        for turn, count in enumerate(counts)
    ]
    bench = make_bench(processes)
    table = rates_table({**bench, "derived": derive(bench)})
    place = list(table.columns).index("threads")
    assert [row[place] for row in table.rows] == ["1; 2", "-"]
