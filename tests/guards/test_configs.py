"""Every shipped configuration is a valid run, and says how to start it."""

from pathlib import Path

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run, read_toml
from poc.shared.spec.reading.pretrained import Described, WeightDefaults
from poc.shared.spec.reading.sweep import load_sweep

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


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_loads(path: Path) -> None:
    """A sweep is valid in all its cells, and is refused where one run is meant."""
    if "grid" not in read_toml(path):
        load_run(path)
        return
    assert len(load_sweep(path)) > 1
    with pytest.raises(UsageError, match="poc sweep"):
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
    is_sweep = "grid" in read_toml(path)
    assert command.startswith("poc sweep ") == is_sweep, f"the command of {name(path)}: {command}"


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_leaves_no_number_to_the_recipe(path: Path) -> None:
    """What a page says of a config stays true when the recipe changes.

    Only a training view may be left out, of grey images: nothing is filled in there.
    """
    if "grid" in read_toml(path):
        runs = [cell.run for cell in load_sweep(path, defaults=NOBODY_SAYS)]
    else:
        runs = [load_run(path, defaults=NOBODY_SAYS)]
    allowed = {"data.train_view"} if {run.data.source for run in runs} <= GREY else set()
    assert {key for run in runs for key in run.open_settings} <= allowed
