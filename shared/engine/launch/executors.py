"""Executors of a sweep's cells: processes of this machine, or tasks of a Ray cluster.

An executor takes a plain function and tasks of JSON values, and yields each result when it is
there. The function itself starts a worker process, so that no executor imports a framework.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from types import ModuleType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from poc.shared.errors import UsageError
from poc.shared.machine import count_cpus
from poc.shared.spec.suggestions import choose

Task = TypeVar("Task", bound=Mapping[str, object])
Result = TypeVar("Result")
Work = Callable[[Task], Result]
# Ray by itself tries a wrong address for minutes.
CONNECT_SECONDS = 10
ENGINES = ("local", "ray")
# PyTorch and NumPy read the first one, TensorFlow the second.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class Done(NamedTuple, Generic[Task, Result]):
    """A task that has ended: its result, or the error if there is none."""

    task: Task
    result: Result | None
    error: str | None = None


def thread_limits(jobs: int) -> dict[str, str]:
    """Return variables that divide the processors among `jobs` processes.

    Without them, each process takes all processors, and waits for the threads of the others. A
    variable that the user has set is left out.
    """
    if jobs == 1:
        return {}
    share = str(max(count_cpus() // jobs, 1))
    return {name: share for name in THREAD_VARIABLES if name not in os.environ}


@contextmanager
def added_to_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that started processes inherit, and restore the former values."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Executor(Protocol):
    """A place where a function runs once per task."""

    @property
    def description(self) -> dict[str, object]:
        """Return `engine` and `jobs` for a report; None: as many jobs as the cluster takes."""

    def run(self, work: Work[Task, Result], tasks: Sequence[Task]) -> Iterator[Done[Task, Result]]:
        """Yield each task when it has ended; closing the iterator cancels the others."""

    def held(self) -> AbstractContextManager[None]:
        """Keep what calls of `run` in the block need, such as a connection."""


class LocalExecutor:
    """Executor with processes of this machine, `jobs` at a time."""

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs

    @property
    def description(self) -> dict[str, object]:
        """Return engine and jobs."""
        return {"engine": "local", "jobs": self._jobs}

    def run(self, work: Work[Task, Result], tasks: Sequence[Task]) -> Iterator[Done[Task, Result]]:
        """Run each task in a thread, which only waits for the process that the task starts."""
        pool = ThreadPoolExecutor(self._jobs)
        with added_to_environment(thread_limits(self._jobs)):
            try:
                futures = {pool.submit(work, task): task for task in tasks}
                for future in as_completed(futures):
                    yield Done(futures[future], future.result())
            finally:
                pool.shutdown(cancel_futures=True)

    def held(self) -> AbstractContextManager[None]:
        """Keep nothing: each process is started for its task."""
        return nullcontext()


class RayExecutor:
    """Executor with tasks of a Ray cluster: the one at `address`, or a new one on this machine.

    Every node must have poc installed, and must see the output folder.
    """

    def __init__(self, address: str | None = None, jobs: int = 1) -> None:
        self._ray = import_ray()
        self._address, self._jobs = address, jobs
        self._is_held = False

    @property
    def description(self) -> dict[str, object]:
        """Return engine and jobs."""
        return {"engine": "ray", "jobs": None if self._address else self._jobs}

    def run(self, work: Work[Task, Result], tasks: Sequence[Task]) -> Iterator[Done[Task, Result]]:
        """Let Ray decide where and when each task runs; a task that Ray loses is an error."""
        with nullcontext() if self._is_held else self.held():
            yield from self._run(work, tasks)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the connection, and a new cluster, for all calls of `run` in the block."""
        # Each cell asks for one processor, so a new cluster with `jobs` of them runs `jobs` cells.
        connect(self._ray, self._address, self._jobs)
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self._ray.shutdown()

    def _run(self, work: Work[Task, Result], tasks: Sequence[Task]) -> Iterator[Done[Task, Result]]:
        def run_task(task: Task) -> Result:
            # Ray takes no partial function.
            return work(task)

        submit = self._ray.remote(**self._needs())(run_task).remote
        pending = {submit(dict(task)): task for task in tasks}
        try:
            while pending:
                (reference, *_), _ = self._ray.wait(list(pending))
                yield self._collect(reference, pending.pop(reference))
        finally:
            for reference in pending:
                # Forced, since a task waits for its worker process and does not look at requests.
                self._ray.cancel(reference, force=True)

    def _needs(self) -> dict[str, object]:
        """Ask for one processor per cell, and for one GPU if the cluster has any."""
        gpus = 1 if self._ray.cluster_resources().get("GPU", 0) >= 1 else 0
        # No retries: a cell that failed is a row, and the next call of the sweep continues it.
        needs: dict[str, object] = {"num_cpus": 1, "num_gpus": gpus, "max_retries": 0}
        limits = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
        if self._address is None:
            # By default, Ray gives each cell one thread on any machine.
            shares = {"OMP_NUM_THREADS": str(count_cpus()), **thread_limits(self._jobs)}
            limits = {**shares, **limits}
        return {**needs, "runtime_env": {"env_vars": limits}} if limits else needs

    def _collect(self, reference: object, task: Task) -> Done[Task, Any]:
        try:
            return Done(task, self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            return Done(task, None, f"{type(error).__name__}: {error}")


def connect(ray: ModuleType, address: str | None, num_cpus: int) -> None:
    """Connect to a Ray cluster, or start one of so many processors on this machine.

    Args:
        ray: The module.
        address: Address of the cluster; None to start one.
        num_cpus: Processors that a new cluster gives out.

    Raises:
        UsageError: No cluster answers there.
    """
    if address:
        check_address(address)
    place = {"address": address} if address else {"num_cpus": num_cpus}
    try:
        ray.init(
            **place,
            **({} if address else {"include_dashboard": False}),
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise no_cluster(address, error) from None


def check_address(address: str) -> None:
    """Refuse an address HOST:PORT at which nothing listens; Ray would try for minutes.

    Raises:
        UsageError: Nothing listens there.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise no_cluster(address, error) from None


def no_cluster(address: str | None, error: Exception) -> UsageError:
    """Make the error about an address without a cluster."""
    return UsageError(
        f"Got --address {address!r}, where no Ray cluster answers ({type(error).__name__}). "
        "Expected a running cluster. Try naming one or leaving --address out."
    )


def import_ray() -> ModuleType:
    """Import the module `ray`.

    Raises:
        UsageError: Ray is not installed.
    """
    # Otherwise Ray 2.60 warns of a coming change for tasks without a GPU.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        return import_module("ray")
    except ImportError:
        raise UsageError(
            "Got --engine ray, but ray is not installed. Expected --engine local without it. "
            "Try pip install 'poc[ray]'."
        ) from None


def check_engine(engine: str, address: str | None) -> None:
    """Refuse an unknown engine, and an address without a cluster's engine.

    Raises:
        UsageError: See above.
    """
    choose("--engine", engine, ENGINES)
    if address and engine != "ray":
        raise UsageError(
            f"Got --address {address!r} with --engine {engine}. Expected it with --engine ray. "
            "Try adding that, or removing --address."
        )


def make_executor(engine: str, *, address: str | None = None, jobs: int | None = None) -> Executor:
    """Make the executor that the command line names.

    Raises:
        UsageError: The engine is unknown, the number of jobs is wrong, or the options contradict
            each other.
    """
    check_engine(engine, address)
    if jobs is not None and jobs < 1:
        raise UsageError(f"Got --jobs {jobs}. Expected at least 1. Try for example 2.")
    if address and jobs is not None:
        raise UsageError(
            f"Got --address {address!r} with --engine {engine} and --jobs {jobs}. Expected it with "
            "--engine ray alone, where the cluster decides how many cells run. Try removing --jobs."
        )
    if engine == "ray":
        return RayExecutor(address, jobs or 1)
    return LocalExecutor(jobs or 1)
