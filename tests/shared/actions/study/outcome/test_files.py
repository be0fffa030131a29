"""Files of the finalists: which are written in which order, what is recorded; no framework runs."""

from dataclasses import replace

import pytest

from poc.shared.actions.study.outcome import files as module
from poc.shared.actions.study.outcome.files import (
    NOT_BEGUN,
    FileCost,
    Row,
    list_notes,
    list_rows,
    measure_files,
    read_files,
)
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import CheckFailed, Interrupted
from poc.tests.helpers.studies.jobs import make_finals
from poc.tests.helpers.studies.simulated_cells import SimulatedTime
from poc.tests.helpers.studies.written_files import Exporter

ROWS = [
    Row("a", "torch", "finals/a-torch"),
    Row("a", "tf", "finals/a-tf"),
    Row("b", "torch", "finals/b-torch"),
]


@pytest.fixture
def export(monkeypatch):
    def start(limit_seconds, tmp_path, **options):
        time = SimulatedTime()
        exporter = Exporter(time, **options)
        monkeypatch.setattr(module, "write_plain_file", exporter)
        monkeypatch.setattr(
            module,
            "time_in_turn",
            lambda calls, **given: time_in_turn(calls, **given, clock=time.read),
        )
        return exporter, measure_files(ROWS, tmp_path, limit_seconds, clock=time.read)

    time_in_turn = module.time_in_turn
    return start


def test_every_row_has_a_size_and_both_latencies(tmp_path, export):
    per_image = {"a-torch": 0.001, "a-tf": 0.003, "b-torch": 0.002}
    exporter, entry = export(1000.0, tmp_path, per_image=per_image)
    assert exporter.written == ["a-torch", "a-tf", "b-torch"]
    assert entry["num_threads"] == 1
    costs = read_files(entry)
    assert costs["a", "tf"] == FileCost(1000, pytest.approx(0.003), pytest.approx(0.192))
    assert costs["b", "torch"].latency_seconds == pytest.approx(0.002)
    row = entry["rows"][0]
    assert (tmp_path / row["file"]).is_file()
    assert row["runtime"] == "runtime 1"
    assert row["latency_1_calls"] >= 10
    assert row["latency_64_calls"] >= 3
    assert list_notes(entry) == []


def test_the_first_rows_come_first_if_time_is_short(tmp_path, export):
    """An export takes 5 s, and so a third one would not end in time."""
    exporter, entry = export(20.0, tmp_path, seconds=5.0)
    assert exporter.written == ["a-torch", "a-tf"]
    assert entry["rows"][2]["error"] == NOT_BEGUN
    assert read_files(entry)["b", "torch"] == FileCost()
    assert list_notes(entry) == [
        "The time did not reach to export 1 of 3 finalists, so that their latency is not known: a "
        "longer budget measures it."
    ]


def test_without_time_nothing_is_exported(tmp_path, export):
    exporter, entry = export(3.0, tmp_path)
    assert exporter.written == []
    assert {row["error"] for row in entry["rows"]} == {NOT_BEGUN}


def test_batches_are_left_out_if_their_time_does_not_reach(tmp_path, export):
    """A batch takes 6.4 s; single images fit."""
    _, entry = export(40.0, tmp_path, per_image=dict.fromkeys(["a-torch", "a-tf", "b-torch"], 0.1))
    costs = read_files(entry)
    assert costs["a", "torch"].latency_seconds == pytest.approx(0.1)
    assert costs["a", "torch"].batch_latency_seconds is None
    assert list_notes(entry) == ["The time did not reach to time batches of 64 images."]


ERRORS = [kind("Got 1") for kind in (CheckFailed, WorkerCrashed, ValueError)]


@pytest.mark.parametrize("error", ERRORS)
def test_a_row_that_fails_has_a_reason_and_the_others_go_on(tmp_path, export, error):
    _, entry = export(1000.0, tmp_path, errors={"a-tf": error})
    costs = read_files(entry)
    assert costs["a", "tf"] == FileCost()
    assert costs["b", "torch"].file_bytes == 1000
    assert list_notes(entry) == ["a in tf: it could not be exported: Got 1."]


def test_an_interruption_ends_the_study(tmp_path, export):
    with pytest.raises(Interrupted):
        export(1000.0, tmp_path, errors={"a-tf": Interrupted("stop")})


def test_a_row_is_its_first_run():
    jobs = [
        replace(make_finals(name)[fold], backend=backend)
        for fold in range(2)
        for name in ("lightlayers k=3", "small net of conv2d")
        for backend in ("torch", "tf")
    ]
    rows = list_rows(jobs)
    assert [(row.framework, row.run) for row in rows] == [
        (job.backend, job.key) for job in jobs[:4]
    ]
    assert len({row.name for row in rows}) == 4
