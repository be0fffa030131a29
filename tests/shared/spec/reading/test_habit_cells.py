"""Cells of an experiment over the habits: their runs, names and refusals."""

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.habits.designs import list_arms
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.habit_cells import make_cells, read_experiment
from poc.shared.spec.reading.sweep import load_sweep

CONFIG = """
method = "scratch"
seeds = 2
[model]
name = "vgg9_bn"
[sets]
number = 2
[sets.ranges]
"optimizer.learning_rate" = { low = 0.001, high = 0.1 }
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "habits.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_cells_of_sets_seeds_arms_and_frameworks(config):
    experiment = read_experiment(config, ["seed=5"])
    cells = make_cells(experiment, list_arms(["optimizer", "padding"], "full"))
    assert len(cells) == 2 * 2 * 4 * 2
    names = [item.cell.name for item in cells]
    assert names[0] == "set=0,habits=common,backend=tf,seed=5"
    assert names[-1] == "set=1,habits=padding,backend=torch,seed=6"
    assert len(set(names)) == len(names)
    by_name = {item.cell.name: item for item in cells}
    native = by_name["set=1,habits=native,backend=torch,seed=6"]
    assert (native.set_number, native.arm) == (1, "native")
    assert native.cell.run.habits.native == ("optimizer", "padding")
    assert (native.cell.run.backend, native.cell.run.seed) == ("torch", 6)
    rate = experiment.sets[1]["optimizer.learning_rate"]
    assert native.cell.run.optimizer.learning_rate == rate
    common = by_name["set=1,habits=common,backend=torch,seed=6"].cell.run
    assert common.habits.native == ()
    assert common.optimizer.learning_rate == rate


def test_a_run_without_sets_is_one_set():
    cells = make_cells(read_experiment(None, ["method=scratch"]), list_arms(["loss"], "full"))
    assert [item.cell.name for item in cells] == [
        "habits=common,backend=tf",
        "habits=common,backend=torch",
        "habits=native,backend=tf",
        "habits=native,backend=torch",
    ]


@pytest.mark.parametrize("setting", ["habits=native", "habits.loss=native", "backend=tf"])
def test_own_settings_are_refused(setting):
    with pytest.raises(UsageError, match="which the experiment sets"):
        read_experiment(None, ["method=scratch", setting])


def test_each_command_reads_its_own_tables(config, tmp_path):
    for reader in (load_run, load_sweep):
        with pytest.raises(UsageError, match="poc habits --config"):
            reader(config)
    grid = tmp_path / "grid.toml"
    grid.write_text("[grid]\nk = [1, 2]\n", encoding="utf-8")
    with pytest.raises(UsageError, match="poc sweep --config"):
        read_experiment(grid)


def test_a_drawn_value_that_no_run_takes_names_its_cell(config):
    config.write_text(CONFIG.replace("low = 0.001", "low = -1.0"), encoding="utf-8")
    with pytest.raises(UsageError, match="Got the cell backend=tf"):
        make_cells(read_experiment(config, [], num_sets=40), list_arms(["loss"], "ends"))
