"""Every shipped configuration is a valid run, and says how to start it."""

from pathlib import Path

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.habits.designs import COMMON, Arm
from poc.shared.spec.reading.config import load_run, read_toml
from poc.shared.spec.reading.habit_cells import make_cells, read_experiment
from poc.shared.spec.reading.pretrained import Described, WeightDefaults
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.spec.run import RunSpec

NOBODY_SAYS = WeightDefaults(
    describe=lambda path, values: Described(),
    locate=lambda path, values: path,
    note=lambda text: None,
)
# Sources of the configs whose images have one channel.
GREY = {"embedded", "tfds:fashion_mnist"}
ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.toml"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_configs() -> None:
    assert CONFIGS


# Table of a config -> the command that reads it; a config without such a table is one run.
COMMANDS = {"grid": "poc sweep", "sets": "poc habits"}


def command_of(path: Path) -> str | None:
    """The command of several runs that reads a config, or None."""
    return next((COMMANDS[key] for key in read_toml(path) if key in COMMANDS), None)


def read_runs(path: Path, defaults: WeightDefaults | None = None) -> list[RunSpec]:
    """All runs of a config; of an experiment over the habits, those with common habits."""
    command = command_of(path)
    if command is None:
        return [load_run(path, defaults=defaults)]
    if command == "poc sweep":
        return [cell.run for cell in load_sweep(path, defaults=defaults)]
    common = [Arm(COMMON, frozenset())]
    cells = make_cells(read_experiment(path, defaults=defaults), common, defaults)
    return [item.cell.run for item in cells]


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_loads(path: Path) -> None:
    """Several runs are valid in all their cells, and are refused where one run is meant."""
    runs, command = read_runs(path), command_of(path)
    if command is not None:
        assert len(runs) > 1
        with pytest.raises(UsageError, match=command):
            load_run(path)


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_opens_with_the_command_that_runs_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    header = []
    for line in lines:
        if not line.startswith("#"):
            break
        header.append(line.lstrip("# "))
    command = next((line for line in header if line.startswith("poc ")), None)
    assert command is not None, f"{name(path)} must open with a comment that holds its command"
    assert name(path) in command, f"the command of {name(path)} names another config: {command}"
    reads = command_of(path)
    starts = [word for word in COMMANDS.values() if command.startswith(f"{word} ")]
    assert starts == ([reads] if reads else []), f"the command of {name(path)}: {command}"


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_leaves_no_number_to_the_recipe(path: Path) -> None:
    """What a page says of a config stays true when the recipe changes.

    Only a training view may be left out, of grey images: nothing is filled in there.
    """
    runs = read_runs(path, NOBODY_SAYS)
    allowed = {"data.train_view"} if {run.data.source for run in runs} <= GREY else set()
    assert {key for run in runs for key in run.open_settings} <= allowed
