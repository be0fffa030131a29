"""Where a sweep's cells run: on this machine, or wherever Ray places them.

An executor takes a plain function and tasks of JSON values, and gives the results as they come. The
function starts a worker process by itself, so that no executor ever imports a framework.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from poc.shared.errors import UsageError
from poc.shared.machine import count_cpus

Task = TypeVar("Task", bound=Mapping[str, object])
Result = TypeVar("Result")
Work = Callable[[Task], Result]
CONNECT_SECONDS = 10
ENGINES = ("local", "ray")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class Done(NamedTuple, Generic[Task, Result]):
    """A task that ended: its result, or the error of a function that gave none."""

    task: Task
    result: Result | None
    error: str | None = None


def thread_limits(jobs: int) -> dict[str, str]:
    """Environment that divides the processors among `jobs` processes; what the user set stays.

    Two processes that each take every processor wait for each other's threads.
    """
    if jobs == 1:
        return {}
    share = str(max(count_cpus() // jobs, 1))
    return {name: share for name in THREAD_VARIABLES if name not in os.environ}


@contextmanager
def added_to_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that started processes inherit, and put back what was there before."""
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
    """Runs a function on every task."""

    @property
    def description(self) -> dict[str, object]:
        """What a report must say: `engine` and `jobs` (none: as many as the cluster takes)."""

    def run(self, work: Work[Task, Result], tasks: Sequence[Task]) -> Iterator[Done[Task, Result]]:
        """The ends of all tasks in the order in which they come; closing it cancels the rest."""


class LocalExecutor:
    """Processes of this machine, `jobs` at a time."""

    def __init__(self, jobs: int = 1) -> None:
        self._jobs = jobs

    @property
    def description(self) -> dict[str, object]:
        """Engine and jobs."""
        return {"engine": "local", "jobs": self._jobs}

    def run(self, work: Work[Task, Result], tasks: Sequence[Task]) -> Iterator[Done[Task, Result]]:
        """Each thread does nothing but wait for the process that its task starts."""
        pool = ThreadPoolExecutor(self._jobs)
        with added_to_environment(thread_limits(self._jobs)):
            try:
                futures = {pool.submit(work, task): task for task in tasks}
                for future in as_completed(futures):
                    yield Done(futures[future], future.result())
            finally:
                pool.shutdown(cancel_futures=True)


class RayExecutor:
    """Tasks of a Ray cluster: the one at `address`, or a new one on this machine.

    The output folder must be one that every node sees, and poc must be installed on each.
    """

    def __init__(self, address: str | None = None, jobs: int = 1) -> None:
        self._ray = import_ray()
        self._address, self._jobs = address, jobs

    @property
    def description(self) -> dict[str, object]:
        """Engine and jobs."""
        return {"engine": "ray", "jobs": None if self._address else self._jobs}

    def run(self, work: Work[Task, Result], tasks: Sequence[Task]) -> Iterator[Done[Task, Result]]:
        """Ray decides where and when; a task that Ray loses is an error, not the end of all."""
        self._connect()
        submit = self._ray.remote(**self._needs())(work).remote
        pending = {submit(dict(task)): task for task in tasks}
        try:
            while pending:
                (reference, *_), _ = self._ray.wait(list(pending))
                yield self._collect(reference, pending.pop(reference))
        finally:
            for reference in pending:
                self._ray.cancel(reference, force=True)
            self._ray.shutdown()

    def _connect(self) -> None:
        if self._address:
            check_address(self._address)
        place = {"address": self._address} if self._address else {"num_cpus": self._jobs}
        try:
            self._ray.init(
                **place,
                **({} if self._address else {"include_dashboard": False}),
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise no_cluster(self._address, error) from None

    def _needs(self) -> dict[str, object]:
        """One place a cell, and one GPU where the cluster has some; a cell is never repeated."""
        gpus = 1 if self._ray.cluster_resources().get("GPU", 0) >= 1 else 0
        needs: dict[str, object] = {"num_cpus": 1, "num_gpus": gpus, "max_retries": 0}
        limits = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
        if self._address is None:
            # Ray would give each cell one thread, whatever the machine has.
            shares = {"OMP_NUM_THREADS": str(count_cpus()), **thread_limits(self._jobs)}
            limits = {**shares, **limits}
        return {**needs, "runtime_env": {"env_vars": limits}} if limits else needs

    def _collect(self, reference: object, task: Task) -> Done[Task, Any]:
        try:
            return Done(task, self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            return Done(task, None, f"{type(error).__name__}: {error}")


def check_address(address: str) -> None:
    """Refuse a HOST:PORT where nothing listens: Ray by itself tries for minutes.

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
    """The error of an address without a cluster."""
    return UsageError(
        f"received --address {address!r}, where no Ray cluster answers ({type(error).__name__}); "
        "name a running one or leave --address out"
    )


def import_ray() -> Any:
    """The module `ray`.

    Raises:
        UsageError: It is not installed.
    """
    # Ray 2.60 warns otherwise of a coming change for tasks without a GPU.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise UsageError(
            "received --engine ray, but ray is not installed; allowed without it is --engine "
            "local: install it with pip install 'poc[ray]'"
        ) from None
    return ray


def make_executor(engine: str, *, address: str | None = None, jobs: int | None = None) -> Executor:
    """The executor that the command line names.

    Raises:
        UsageError: Unknown engine, wrong number of jobs, or options that do not fit together.
    """
    if engine not in ENGINES:
        raise UsageError(
            f"received --engine {engine!r}; allowed are {', '.join(ENGINES)}: choose one"
        )
    if jobs is not None and jobs < 1:
        raise UsageError(f"received --jobs {jobs}; allowed is at least 1: write for example 2")
    if address and (engine != "ray" or jobs is not None):
        raise UsageError(
            f"received --address {address!r} with --engine {engine}"
            f"{'' if jobs is None else f' and --jobs {jobs}'}; allowed is it with --engine ray "
            "alone, where the cluster decides how many cells run: remove the other option"
        )
    if engine == "ray":
        return RayExecutor(address, jobs or 1)
    return LocalExecutor(jobs or 1)
