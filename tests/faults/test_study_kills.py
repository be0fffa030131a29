"""A real study, killed at random moments and called again: the same cells, the same decision."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from poc.shared.actions.study.ledger import LEDGER
from poc.shared.analysis.study.decision import DECISION

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.needs_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data, not there"),
]
NUM_KILLS, LONGEST_SECONDS, SECONDS_AT_MOST = 10, 20.0, 1200


def start(*arguments):
    """A running `poc`."""
    return subprocess.Popen(
        [sys.executable, "-m", "poc.cli", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Wait until it ends by itself."""
    _, errors = process.communicate(timeout=SECONDS_AT_MOST)
    assert process.returncode == 0, errors


def start_study(folder, weights):
    """Heads on frozen features alone, which all end long before the budget does."""
    return start(
        *("study", f"folder:{DATA / 'photos'}", "--budget", "15m", "--weights", weights),
        *("--methods", "knn,logistic", "--frameworks", "torch", "--output", folder),
    )


def convert_weights(file):
    """The small published body, as the project's own weight file."""
    published = DATA / "weights" / "efficientnet_lite0_imagenet.safetensors"
    model = ("--model", "efficientnet_lite0", "--classes", "1000")
    finish(start("weights", "convert", published, file, *model))
    return file


def read_cells(folder):
    """Cell -> its line without clocks."""
    path = folder / LEDGER
    if not path.exists():
        return {}
    lines = path.read_text().split("\n")[:-1]
    entries = [json.loads(line) for line in lines]
    assert len({entry["cell"] for entry in entries}) == len(entries), "a cell was recorded twice"
    return {
        entry["cell"]: {key: entry.get(key) for key in ("status", "accuracy", "loss", "split")}
        for entry in entries
    }


def stamp_cells(folder):
    """The recorded runs and when each was written."""
    names = [name for name in read_cells(folder) if (folder / name / "run.json").exists()]
    return {name: (folder / name / "run.json").stat().st_mtime_ns for name in names}


def read_decision(folder):
    """What the study says, without times."""
    decision = json.loads((folder / DECISION).read_text())
    rows = [(row["candidate"], row["framework"], row["accuracy"]) for row in decision["candidates"]]
    kept = ("recommended", "expected_accuracy", "interval", "better_than")
    return (
        rows,
        {key: decision[key] for key in kept if key != "recommended"},
        (decision["recommended"]["candidate"]),
    )


def test_ten_kills_of_a_study(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights = convert_weights(tmp_path / "lite0.safetensors")
    finish(start_study(tmp_path / "whole", weights))
    drawn, done = random.Random(0), {}
    for _ in range(NUM_KILLS):
        process = start_study(tmp_path / "study", weights)
        time.sleep(drawn.uniform(0.5, LONGEST_SECONDS))
        process.kill()
        process.communicate()
        now = stamp_cells(tmp_path / "study")
        assert done.items() <= now.items(), "a recorded cell was trained again"
        done = now
    finish(start_study(tmp_path / "study", weights))
    assert done.items() <= stamp_cells(tmp_path / "study").items()
    assert read_cells(tmp_path / "study") == read_cells(tmp_path / "whole")
    assert read_decision(tmp_path / "study") == read_decision(tmp_path / "whole")
    print(f"{NUM_KILLS} kills, {len(done)} cells recorded before the last call")
