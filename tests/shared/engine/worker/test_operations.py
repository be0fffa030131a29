"""What a worker is asked for is what it answers, and a misspelt request is no program."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.worker.operations import Operations

ROOT = Path(__file__).parents[4]


def requests(kind: type) -> dict[str, inspect.Signature]:
    """What can be asked for, and with which arguments."""
    named = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(made) for name, made in named if not name.startswith("_")}


def test_the_server_answers_exactly_what_is_declared() -> None:
    assert len(requests(Operations)) == 24
    assert requests(ServedOperations) == requests(Operations)


def test_arguments_go_by_name_alone() -> None:
    for name, signature in requests(Operations).items():
        _, *arguments = signature.parameters.values()
        kinds = {argument.kind for argument in arguments}
        assert kinds <= {inspect.Parameter.KEYWORD_ONLY}, name


# What comes before the calls; a batch has all its keys, so that each call has one fault at most.
OPENING = (
    "import numpy as np",
    "from poc.shared.engine.worker.handle import Worker",
    "from poc.shared.engine.worker.operations import BatchArrays, Operations",
    "worker = Worker('tf')",
    "batch: BatchArrays = {'images': np.zeros((1, 2, 2, 1)), 'labels': np.zeros(1, np.int64)}",
)
# What a caller may write, and what mypy says of it.
CALLS = {
    "worker.call(Operations.try_steps, run={}, num_steps=3)": "",
    "worker.call(Operations.fetch_imagenet, name='a')['kernel'].mean()": "",
    "worker.call(Operations.try_step, run={})": 'has no attribute "try_step"',
    "worker.call('try_steps', run={})": 'incompatible type "str"',
    "worker.call(Operations.try_steps, run={}, steps=3)": 'keyword argument "steps"',
    "worker.call(Operations.try_steps, run={}, num_steps='3')": 'incompatible type "str"',
    "worker.call(Operations.try_steps, {})": "Too many positional arguments",
    "worker.call(Operations.try_steps)": 'Missing named argument "run"',
    "worker.call(Operations.describe)[0]": "Invalid index type",
    "worker.call(Operations.loss_and_gradients, run={}, weights={}, batch=batch)['los']": '"los"',
    "worker.call(Operations.loss_and_gradients, run={}, weights={}, batch={})": "Missing keys",
}


@pytest.mark.slow
def test_mypy_refuses_what_no_worker_answers(tmp_path: Path) -> None:
    path = tmp_path / "planted.py"
    path.write_text("\n".join((*OPENING, *CALLS)) + "\n", encoding="utf-8")
    config = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", "/dev/null"]
    found = subprocess.run(
        [sys.executable, "-m", "mypy", *config, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [line for line in found.stdout.splitlines() if ": error: " in line]
    for number, (call, words) in enumerate(CALLS.items(), start=len(OPENING) + 1):
        own = [error for error in errors if f"planted.py:{number}: " in error]
        assert [words in error for error in own] == [True] * bool(words), (call, own, found.stderr)
    assert len(errors) == sum(map(bool, CALLS.values()))
