"""Which backends are tested, and one worker of each for the whole session.

`--backends tf,torch` names them. A named backend that is missing fails its tests; one that is left
out skips them with a reason, so that nothing passes in silence.
"""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from poc.shared.engine.backend import missing_packages
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.interruption import LIVE
from poc.shared.spec.run import BACKENDS
from poc.tests.helpers.commands.ci_rows import is_for_ci, read_table

# Tensors are tiny here: threads that wait for each other would double the time.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
# Test processes share the processors: OpenMP threads that spin while they wait starve the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# On a busy machine an example may take any time: that is no finding about what it computes.
settings.register_profile("poc", deadline=None)
settings.load_profile("poc")
# Fixtures that bring a backend into a test.
FIXTURES = {"tf": {"tf_worker", "workers"}, "torch": {"torch_worker", "workers"}}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backends", default=",".join(BACKENDS), help="backends to test: tf, torch or tf,torch"
    )


def chosen_backends(config: pytest.Config) -> list[str]:
    names = [name for name in config.getoption("--backends").split(",") if name]
    if unknown := [name for name in names if name not in BACKENDS]:
        raise pytest.UsageError(f"--backends: unknown {unknown[0]!r}; allowed are tf and torch")
    return names


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their workers and for ci, and skip those of a backend that was left out."""
    chosen, table = chosen_backends(config), read_table()
    for item in items:
        if is_for_ci(item.nodeid, table):
            item.add_marker("ci")
        used = [
            name for name in BACKENDS if FIXTURES[name] & set(getattr(item, "fixturenames", ()))
        ]
        for name in used:
            item.add_marker(name)
        if len(used) == len(BACKENDS):
            item.add_marker("parity")
        if item.get_closest_marker("parity"):
            for name in BACKENDS:
                item.add_marker(name)
        for name in BACKENDS:
            if name not in chosen and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"--backends leaves {name} out"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A backend that was asked for and is missing is a failure."""
    for name in chosen_backends(item.config):
        if item.get_closest_marker(name) and f"POC_{name.upper()}_PYTHON" not in os.environ:
            missing = missing_packages(name)
            if missing:
                pytest.fail(
                    f"{name} is asked for, but {', '.join(missing)} is not installed", False
                )


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("tf", marks=pytest.mark.tf),
        pytest.param("torch", marks=pytest.mark.torch),
    ],
)
def backend(request: pytest.FixtureRequest) -> Any:
    """Each backend in turn."""
    return request.param


@pytest.fixture(scope="session")
def open_workers() -> Iterator[ExitStack]:
    """Closes the session's workers."""
    with ExitStack() as stack:
        yield stack


def start_worker(backend: str, folder: Path, **environment: str) -> Worker:
    """A single-threaded worker whose log lies in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ONE_THREAD, **environment}.items():
            patch.setenv(name, value)
        worker = Worker(backend, log=folder / "log")
    # It serves other tests too: a signal that one of them sends to this process is not for it.
    LIVE.discard(worker)
    return worker


@pytest.fixture(scope="session")
def tf_worker(open_workers: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    return open_workers.enter_context(start_worker("tf", tmp_path_factory.mktemp("tf")))


@pytest.fixture(scope="session")
def torch_worker(open_workers: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    return open_workers.enter_context(start_worker("torch", tmp_path_factory.mktemp("torch")))


@pytest.fixture(scope="session")
def workers(tf_worker: Worker, torch_worker: Worker) -> tuple[Worker, Worker]:
    """Both, TensorFlow first."""
    return tf_worker, torch_worker


@pytest.fixture(scope="session")
def worker(backend: str, request: pytest.FixtureRequest) -> Worker:
    """The session's worker of the backend in turn."""
    return request.getfixturevalue(f"{backend}_worker")


@pytest.fixture(scope="session")
def probe(
    backend: str, open_workers: ExitStack, tmp_path_factory: pytest.TempPathFactory
) -> Worker:
    """A worker with the operations of `workers/probe.py`, which reach inside the backend."""
    folder = tmp_path_factory.mktemp(f"{backend}_probe")
    script = Path(__file__).parent / "helpers" / "workers" / "probe.py"
    interpreter = write_interpreter(folder / "python", script)
    variable = f"POC_{backend.upper()}_PYTHON"
    return open_workers.enter_context(start_worker(backend, folder, **{variable: str(interpreter)}))


def write_interpreter(path: Path, script: Path) -> Path:
    """An executable that stands in for a worker's interpreter and runs `script` first."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(script)])} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def poc(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs `main` as the command does, in an empty folder: (exit code, output, errors)."""
    from poc import cli

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["poc", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        output = capsys.readouterr()
        return code, output.out, output.err

    return call
