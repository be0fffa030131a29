"""The recipe from the command line: told in one line, recorded as numbers (on a stub backend)."""

import json

import pytest

from poc.tests.helpers.commands.processes import stub_environment

SMALL = [
    *("--set", "model.widths=[2,2]", "--k", "1"),
    *("--set", "data.split.train_per_class=10", "--batch-size", "1"),
]
# 10 of each of 10 classes, one at a time.
LINE = (
    "Recipe for 100 training images: 12 epochs of 100 steps (1,200), Adam 0.003, cosine after 60 "
    "steps of warm-up, no augmentation."
)


@pytest.fixture
def stubbed(poc, monkeypatch, tmp_path):
    """The same, where a stub of NumPy takes the place of both backends."""
    stub = stub_environment(tmp_path, seconds_a_step=0)
    monkeypatch.setenv("POC_TORCH_PYTHON", stub["POC_TORCH_PYTHON"])
    monkeypatch.setenv("POC_TF_PYTHON", stub["POC_TORCH_PYTHON"])
    monkeypatch.setenv("STUB_SECONDS_A_STEP", stub["STUB_SECONDS_A_STEP"])
    return poc


def read_run(folder):
    return json.loads((folder / "run.json").read_text())["run"]


def test_a_run_tells_its_recipe_and_records_its_numbers(stubbed, tmp_path):
    code, _, errors = stubbed("run", "--backend", "torch", *SMALL, "--output", tmp_path / "run")
    assert code == 0, errors
    assert errors.splitlines().count(LINE) == 1
    run = read_run(tmp_path / "run")
    assert (run["num_epochs"], run["schedule"]["name"], run["schedule"]["warmup_steps"]) == (
        *(12, "cosine"),
        60,
    )
    assert (run["optimizer"]["learning_rate"], run["open_settings"]) == (3e-3, [])
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 12


def test_both_backends_of_a_comparison_get_the_same_numbers(stubbed, tmp_path):
    code, _, errors = stubbed(
        "compare", *SMALL, "--epochs", "2", "--no-parity", "--output", tmp_path / "pair"
    )
    assert code == 0, errors
    told = LINE.replace("12 epochs of 100 steps (1,200)", "2 epochs of 100 steps (200) as set")
    told = told.replace("after 60 steps", "after 10 steps")
    assert told in errors.splitlines()
    runs = [read_run(tmp_path / "pair" / backend) for backend in ("tf", "torch")]
    assert [run.pop("backend") for run in runs] == ["tf", "torch"]
    assert runs[0] == runs[1]
    assert runs[0]["num_epochs"] == 2


def test_cells_of_a_sweep_hold_numbers_and_the_sweep_continues(stubbed, tmp_path):
    arguments = ["sweep", *SMALL, "--grid", "num_epochs=1,2", "--output", tmp_path / "sweep"]
    for _ in range(2):
        code, output, errors = stubbed(*arguments, "--json")
        assert code == 0, errors
        assert [row["num_epochs"] for row in json.loads(output)] == [1, 2]
    runs = [read_run(path.parent) for path in sorted((tmp_path / "sweep").glob("*/run.json"))]
    # 5 % of 100 and of 200 steps.
    assert [run["schedule"]["warmup_steps"] for run in runs] == [5, 10]
    assert [run["open_settings"] for run in runs] == [[], []]


def test_config_keys_say_which_defaults_depend_on_the_images(stubbed):
    code, output, _ = stubbed("config", "keys")
    lines = output.splitlines()
    assert code == 0
    assert "num_epochs by the recipe, from the training images" in lines
    assert "schedule.name by the recipe, from the training images" in lines
    assert 'optimizer.name = "adam"' in lines
    code, output, _ = stubbed("config", "keys", "--method", "l2t-ww")
    assert "optimizer.learning_rate = 0.1" in output.splitlines()


def test_a_wrong_number_is_not_answered_with_a_default_that_nobody_gets(stubbed):
    code, _, errors = stubbed("run", "--backend", "torch", "--epochs", "none")
    assert code == 2
    assert "Try removing num_epochs, which leaves it to the recipe." in errors
