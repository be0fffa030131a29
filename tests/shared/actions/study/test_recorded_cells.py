"""A study that is killed continues: nothing is done twice but the cell in flight."""

import json

import pytest

from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.ledger import LEDGER, open_ledger
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.tests.helpers.studies.simulated_cells import Killed, SimulatedTime, run_simulated
from poc.tests.shared.actions.study.test_search import CANDIDATES, WORLDS

BUDGET = 900


def read_cells(folder):
    lines = (folder / LEDGER).read_text().splitlines()
    return [json.loads(line)["cell"] for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "study"
    _, plan, finals, _ = run_simulated(folder, CANDIDATES, WORLDS, BUDGET)
    return read_cells(folder), plan, finals


def kill_and_continue(folder, kills, **options):
    """Run until killed after each number of cells of a call, then to the end; return what ran."""
    ran = []
    for kill_at in kills:
        time = SimulatedTime()
        with pytest.raises(Killed):
            run_simulated(folder, CANDIDATES, WORLDS, BUDGET, kill_at=kill_at, time=time, **options)
    found = run_simulated(folder, CANDIDATES, WORLDS, BUDGET, **options)
    ran.extend(found[3].ran)
    return found, ran


@pytest.mark.parametrize("kill_at", [0, 1, 5, 13, 17, 20, 25, 30])
def test_one_kill_changes_nothing(tmp_path, whole, kill_at):
    cells, plan, finals = whole
    assert kill_at < len(cells)
    found, ran = kill_and_continue(tmp_path / "study", [kill_at])
    assert read_cells(tmp_path / "study") == cells
    assert ran == cells[kill_at:]
    assert (found[1], found[2]) == (plan, finals)


def test_ten_kills_change_nothing(tmp_path, whole):
    cells, plan, finals = whole
    found, ran = kill_and_continue(tmp_path / "study", [2, 3, 0, 4, 1, 5, 2, 3, 1, 0])
    assert read_cells(tmp_path / "study") == cells
    assert ran == cells[21:]
    assert (found[1], found[2]) == (plan, finals)


def test_the_import_of_a_framework_counts_once(tmp_path):
    """Each call imports again; what the study decides does not depend on it."""
    _, plan, finals, _ = run_simulated(
        tmp_path / "whole", CANDIDATES, WORLDS, BUDGET, import_seconds=40
    )
    found, _ = kill_and_continue(tmp_path / "study", [2, 3, 0, 4, 1, 5], import_seconds=40)
    assert read_cells(tmp_path / "study") == read_cells(tmp_path / "whole")
    assert (found[1], found[2]) == (plan, finals)


def test_a_finished_study_runs_nothing(tmp_path, whole):
    run_simulated(tmp_path / "study", CANDIDATES, WORLDS, BUDGET)
    assert run_simulated(tmp_path / "study", CANDIDATES, WORLDS, BUDGET)[3].ran == []


def test_other_work_is_done_once_and_its_time_counts(tmp_path):
    """A second call reads it, and its clock goes on from there."""
    done = []

    def work():
        done.append("work")
        time.seconds += 5.0
        return {"phase": "files", "rows": [1]}

    for _ in range(2):
        time = SimulatedTime()
        clock = Clock(100, read=time.read)
        with open_ledger(tmp_path / "study", {"data": "simulated"}) as ledger:
            cells = RecordedCells(ledger, clock, runner=None)
            entry = cells.record("files", work)
        assert (entry["rows"], clock.now) == ([1], 5.0)
    assert done == ["work"]
    assert read_cells(tmp_path / "study") == ["files"]


def read_entries(folder):
    """Key of a cell -> its last entry in the ledger."""
    lines = map(json.loads, (folder / LEDGER).read_text().splitlines())
    return {line["cell"]: line for line in lines}


# Its networks with an eighth of the epochs are the best of a short search.
TUNED = {name: (0.4, *numbers[1:]) for name, numbers in WORLDS.items()}
TUNED["fine-tuned good"] = (0.95, 40.0)


def test_a_longer_budget_trains_its_own_choice(tmp_path):
    """What a short search chose is not taken for the choice of a longer one."""
    folder = tmp_path / "study"
    _, _, first, short = run_simulated(folder, CANDIDATES, TUNED, 300)
    _, _, trials, longer = run_simulated(folder, CANDIDATES, TUNED, 3600)
    entries = read_entries(folder)
    for job in (trial.job for trial in trials):
        entry = entries[job.key]
        assert (entry["share"], entry["proposal"]) == (job.share, job.proposal)
        assert entry["status"] == "finished"
    tuned = [
        {trial.job.share for trial in found if trial.job.candidate.name == "fine-tuned good"}
        for found in (first, trials)
    ]
    assert tuned == [{1 / 8}, {1.0}]
    # Nothing is trained twice that had an end.
    assert set(short.ran) & set(longer.ran) == set()


def test_a_third_call_decides_as_the_longer_one(tmp_path):
    folder = tmp_path / "study"
    run_simulated(folder, CANDIDATES, TUNED, 300)
    _, plan, finals, _ = run_simulated(folder, CANDIDATES, TUNED, 3600)
    _, again, same, runner = run_simulated(folder, CANDIDATES, TUNED, 3600)
    assert (again, same, runner.ran) == (plan, finals, [])


def test_a_longer_budget_that_is_killed_continues(tmp_path):
    for name, kills in (("whole", []), ("killed", [0, 3, 10])):
        folder = tmp_path / name
        run_simulated(folder, CANDIDATES, TUNED, 300)
        for kill_at in kills:
            with pytest.raises(Killed):
                run_simulated(folder, CANDIDATES, TUNED, 3600, kill_at=kill_at)
        run_simulated(folder, CANDIDATES, TUNED, 3600)
    assert read_entries(tmp_path / "killed").keys() == read_entries(tmp_path / "whole").keys()


def test_a_cell_that_was_stopped_is_tried_again_with_more_time(tmp_path):
    """Alone, it takes 100 s of a budget of 60, and later of 600."""
    slow = [item for item in CANDIDATES if item.kind][:1]
    worlds = {slow[0].name: (0.9, 500.0, 1.0)}
    folder = tmp_path / "study"
    run_simulated(folder, slow, worlds, 60)
    before = read_entries(folder)
    assert {entry["status"] for entry in before.values()} == {"stopped"}
    run_simulated(folder, slow, worlds, 600)
    after = read_entries(folder)
    assert {after[key]["status"] for key in before} == {"finished"}
