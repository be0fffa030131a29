"""The end of a study: files, decision, learning curve; once, also after a stop."""

import numpy as np
import pytest

from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.ledger import open_ledger
from poc.shared.actions.study.outcome import ending as module
from poc.shared.actions.study.outcome import files
from poc.shared.actions.study.outcome.collection import Beyond
from poc.shared.actions.study.outcome.ending import NO_CURVE, Ending, check_formats
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.shared.analysis.study.limits import Limits
from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.errors import UsageError
from poc.tests.helpers.studies.jobs import make_finals
from poc.tests.helpers.studies.simulated_cells import SimulatedTime
from poc.tests.helpers.studies.sources import make_source
from poc.tests.helpers.studies.written_cells import WrittenCells
from poc.tests.helpers.studies.written_files import Exporter

SOURCE = make_source({"all": np.arange(200) % 4}, is_partitioned=False)
GOOD, WEAK = "small net of conv2d", "lightlayers k=3"
ACCURACIES = {GOOD: 0.95, WEAK: 0.6}
SLOW = Limits(max_latency_seconds=0.02)


@pytest.fixture
def end(tmp_path, monkeypatch):
    """Run the final cells of two candidates and the end; the good one takes 50 ms per image."""

    def call(budget=10_000.0, limits=None, kill_at=None):
        time = SimulatedTime()
        finals = [job for name in (GOOD, WEAK) for job in make_finals(name, source=SOURCE)]
        slow = {job.name: 0.05 for job in finals if job.candidate.name == GOOD}
        exporter = Exporter(time, per_image=slow)
        monkeypatch.setattr(files, "write_plain_file", exporter)
        monkeypatch.setattr(
            files, "time_in_turn", lambda calls, **given: timed(calls, **given, clock=time.read)
        )
        monkeypatch.setattr(
            module,
            "measure_files",
            lambda *given, **options: measured(*given, **options, clock=time.read),
        )
        runner = WrittenCells(tmp_path, SOURCE, ACCURACIES, time, kill_at=kill_at)
        beyond = Beyond(limits=limits, not_trained=("huge",)) if limits else Beyond()
        protocol = choose_protocol(SOURCE, Question())
        with open_ledger(tmp_path, {"data": "made"}) as ledger:
            cells = RecordedCells(ledger, Clock(budget, read=time.read), runner)
            for job in finals:
                cells.run(job, 100.0)
            published = []
            ending = Ending(
                *(SOURCE, protocol, cells, tmp_path, lambda text: None),
                lambda decision, notes: published.append((decision, list(notes))),
            )
            decision = ending.run(beyond)
        assert len(published) == 2
        assert published[0][0].recommended == published[1][0].recommended
        assert published[1][0] == decision
        return decision, published[1][1], exporter.written, runner.ran

    timed, measured = files.time_in_turn, module.measure_files
    return call


def test_files_are_measured_and_the_curve_is_of_the_recommended_row(end):
    decision, notes, written, ran = end()
    assert decision.recommended.candidate == GOOD
    assert decision.cost.file_bytes == 1000
    assert decision.cost.latency_seconds == pytest.approx(0.05)
    assert decision.cost.batch_latency_seconds == pytest.approx(3.2)
    assert [point[0] for point in decision.learning_curve.points] == [32, 64, 128]
    assert (len(written), notes) == (2, [])
    assert len(ran) == 20
    assert all("conv2d" in key and "share-" in key for key in ran[10:])


def test_a_limit_on_latency_changes_the_answer(end):
    decision, _, _, _ = end(limits=SLOW)
    assert decision.recommended.candidate == WEAK
    assert decision.limits.over == ((GOOD, "torch"),)
    assert decision.limits.not_trained == ("huge",)
    assert "Too large, so not trained: huge." in decision.sentences


def test_what_is_missing_is_said(end):
    """150 s of cells; the files take the rest, which is too short for a share of the images."""
    decision, notes, _, _ = end(budget=200.0)
    assert decision.learning_curve is None
    assert notes[-1] == NO_CURVE


def test_a_study_that_ended_does_nothing_twice(end):
    whole = end()
    decision, notes, written, ran = end()
    assert (decision, notes) == whole[:2]
    assert (written, ran) == ([], [])


def test_a_longer_budget_measures_what_had_no_time(end):
    """Of 160 s the final cells take 150, and the page keeps 6.2."""
    short = end(budget=160.0)
    assert short[2] == []
    assert short[0].cost.file_bytes is None
    decision, _, written, _ = end(budget=1000.0)
    assert len(written) == 2
    assert decision.cost.file_bytes == 1000


def test_a_stop_in_the_curve_changes_nothing(end, tmp_path):
    with pytest.raises(BaseException, match=r"^$"):
        end(kill_at=13)
    decision, _, written, ran = end()
    assert written == []
    assert len(ran) == 7
    assert decision.learning_curve is not None


def test_a_limit_on_latency_needs_the_runtimes(monkeypatch):
    def refuse(framework):
        raise UsageError(f"Got {framework}. Expected a runtime. Try to install it.")

    monkeypatch.setattr(module, "format_of", refuse)
    with pytest.raises(UsageError, match="runtime"):
        check_formats(("torch", "tf"), SLOW)
    check_formats(("torch", "tf"), Limits(max_bytes=1e6))
