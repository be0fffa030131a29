"""Every shipped configuration is a valid run, and says how to start it."""

from pathlib import Path

import pytest

from poc.shared.spec.run import load_run

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.toml"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_configs() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_config_loads(path: Path) -> None:
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
