"""Results from run folders: of folds and of a holdout, and what test images were read."""

import numpy as np
import pytest

from poc.shared.actions.study.candidates import MAJORITY, list_candidates
from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.finals import plan_finals, run_finals
from poc.shared.actions.study.ledger import open_ledger
from poc.shared.actions.study.outcome.collection import collect
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.shared.actions.study.search import Search
from poc.shared.analysis.study.deciding import decide
from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.errors import CheckFailed
from poc.tests.helpers.studies.simulated_cells import SimulatedTime
from poc.tests.helpers.studies.sources import make_source
from poc.tests.helpers.studies.written_cells import WrittenCells

CANDIDATES = list_candidates(["good.pt", "bad.pt"], ["logistic", "knn", "transfer"])
ACCURACIES = {item.name: 0.9 if "good" in item.name else 0.5 for item in CANDIDATES}


def run(folder, num_images, budget=1000):
    labels = np.arange(num_images) % 4
    # The first class is the largest.
    source = make_source({"all": np.where(labels == 3, 0, labels)}, is_partitioned=False)
    protocol, time = choose_protocol(source, Question()), SimulatedTime()
    clock = Clock(budget, read=time.read)
    runner = WrittenCells(folder, source, ACCURACIES, time)
    with open_ledger(folder, {}) as ledger:
        cells = RecordedCells(ledger, clock, runner)
        search = Search(CANDIDATES, protocol, cells, "torch", 26)
        search.run()
        plan = plan_finals(search.ranked(), ("torch", "tf"), protocol, cells.costs, clock)
        run_finals(plan, protocol, cells)
    return source, protocol, cells.ended


@pytest.mark.parametrize(("num_images", "num_tested"), [(160, 160), (2000, 480)])
def test_a_decision_from_folders(tmp_path, num_images, num_tested):
    folder = tmp_path / "study"
    source, protocol, ended = run(folder, num_images)
    decision = decide(collect(source, protocol, ended, folder))
    assert "good" in decision.recommended.candidate
    assert decision.num_test_images == num_tested
    assert decision.interval[0] < 0.9 < decision.interval[1]
    assert all((folder / name / "run.json").is_file() for name in decision.recommended.runs)
    rows = {row.candidate: row for row in decision.candidates}
    assert rows[MAJORITY].accuracy == pytest.approx(0.5, abs=0.01)
    assert rows[decision.recommended.candidate].cost.weight_bytes > 0


def test_folds_and_a_holdout_choose_by_different_networks(tmp_path):
    folds = collect(*run(tmp_path / "folds", 160), tmp_path / "folds")
    assert (folds.is_folds, folds.search) == (True, [])
    holdout = collect(*run(tmp_path / "holdout", 2000), tmp_path / "holdout")
    assert not holdout.is_folds
    tested = {run.candidate for run in holdout.runs}
    assert {run.candidate for run in holdout.search} == tested
    nets = [run for run in holdout.search if run.candidate == "fine-tuned good"]
    assert sorted(run.seed for run in nets) == [0, 1, 2]


def test_a_search_that_read_test_images_is_found(tmp_path):
    """The same cell, with its test part."""
    folder = tmp_path / "study"
    source, protocol, ended = run(folder, 160)
    job = ended[0].job
    WrittenCells(folder, source, ACCURACIES, SimulatedTime()).write(job, 0.9)
    collect(source, protocol, ended, folder)
    early = {"split": protocol.cells[0].split}
    (folder / job.key / "split.npz").unlink()
    WrittenCells(folder, source, ACCURACIES, SimulatedTime()).write(
        type(job)(**{**vars(job), **early}), 0.9
    )
    with pytest.raises(CheckFailed, match="test images"):
        collect(source, protocol, ended, folder)


def test_without_a_final_cell_only_the_largest_class_is_left(tmp_path):
    folder = tmp_path / "study"
    source, protocol, ended = run(folder, 160)
    searches = [trial for trial in ended if trial.job.phase == "search"]
    decision = decide(collect(source, protocol, searches, folder))
    assert decision.recommended.candidate == MAJORITY
