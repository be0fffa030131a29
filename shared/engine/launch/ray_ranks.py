"""The ranks of one run as workers of Ray Train, which places them on a cluster.

Each worker of Ray Train does what the command of a launched rank does: it starts a process with the
framework and waits for it. Ray Train needs to know no framework for that, so that its general
trainer serves both. A desk, which is an actor of the cluster, carries messages between the command
and the ranks.
"""

import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from types import ModuleType
from typing import TypedDict

from poc.shared.engine.console.work_count import Event, Report
from poc.shared.engine.folder.lock import SECONDS_FOR_AN_ORPHAN, is_held
from poc.shared.engine.folder.reservation import stamp
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.ranks.place import ALONE, Place
from poc.shared.engine.ranks.ports import free_address
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.engine.worker.interruption import LIVE
from poc.shared.errors import UsageError

from .course import Course
from .executors import connect, import_ray, thread_limits
from .rank_workers import Row, is_death
from .ray_desk import KINDS, Desk, Handle, Message, Outcome, RemoteRanks

SECONDS_BETWEEN_LOOKS = 0.3
# Trains one rank at its place, on with the folder's run or from its start; returns its row.
Rank = Callable[[Place, bool, Report], Row]


class Given(TypedDict):
    """Arguments of every worker of Ray Train; `former` is the stamp of the folder's former run."""

    rank: Rank
    desk: Handle
    folder: Path
    former: tuple[int, int] | None


def train_on_ray(
    rank: Rank, folder: Path, report: Report, course: Course, *, is_resumed: bool
) -> Row:
    """Train in ranks on a Ray cluster; return the row of rank 0.

    Args:
        rank: Trains one rank; the cluster's nodes need its module.
        folder: Run folder, which every node sees at this path.
        report: Called with the events of rank 0.
        course: Cluster, number of ranks, and restarts of all of them after one has died.
        is_resumed: The folder's run goes on.

    Raises:
        UsageError, CheckFailed, Interrupted, Terminated: The ranks raised it.
        WorkerCrashed: A rank has died or raised an unforeseen error; the message names it.
    """
    ray = import_ray()
    with connected(ray, course):
        desk = ray.remote(num_cpus=0)(Desk).remote()
        remote = RemoteRanks()
        LIVE.add(remote)
        former = None if is_resumed else stamp(RunFolder(folder))
        given: Given = {"rank": rank, "desk": desk, "former": former, "folder": folder}
        outcome = Outcome(course.max_restarts, report)
        try:
            with storage(folder) as place, ThreadPoolExecutor(1) as thread:
                # Not in the main thread, where it would take the signals for itself.
                future = thread.submit(fit, given, place, course)
                try:
                    for message in messages(ray, desk, future, remote):
                        outcome.hear(message)
                except BaseException:
                    # Otherwise the thread would wait for its ranks.
                    ray.shutdown()
                    raise
                outcome.failed |= future.result()
        finally:
            LIVE.discard(remote)
    return outcome.conclude()


@contextmanager
def connected(ray: ModuleType, course: Course) -> Iterator[None]:
    """Connect to a cluster that has a processor for each rank; start a small one without address.

    Raises:
        UsageError: No cluster answers, or it is too small: the ranks would wait for ever.
    """
    count = course.processes
    connect(ray, course.address, count)
    try:
        if (found := int(ray.cluster_resources().get("CPU", 0))) < count:
            raise UsageError(
                f"Got --processes {count} for a Ray cluster of {found} processors. Expected one "
                f"for each rank. Try --processes {max(found, 1)}."
            )
        yield
    finally:
        ray.shutdown()


@contextmanager
def storage(folder: Path) -> Iterator[Path]:
    """Give Ray Train the folder that it insists on, next to the run's, and remove it."""
    place = folder.parent / f".{folder.name}.ray-{secrets.token_hex(4)}"
    try:
        yield place
    finally:
        rmtree(place, ignore_errors=True)


def messages(
    ray: ModuleType, desk: Handle, future: "Future[dict[int, BaseException]]", remote: RemoteRanks
) -> Iterator[Message]:
    """Yield the messages of the ranks until the trainer has ended; pass signals on to them."""
    is_done = False
    while not is_done:
        # Asked first, so that the last messages are taken after the end.
        is_done = future.done()
        for number in remote.take():
            desk.stop.remote(number)
        yield from ray.get(desk.take.remote())
        wait_for([future], timeout=SECONDS_BETWEEN_LOOKS)


def fit(given: Given, place: Path, course: Course) -> dict[int, BaseException]:
    """Run Ray Train's trainer to its end; return rank -> error of those that failed."""
    import ray
    from ray import train
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    count = course.processes
    # Ray gives each worker one thread by default, on any machine.
    threads = {} if course.address else thread_limits(count)
    trainer = DataParallelTrainer(
        work,
        train_loop_config=given,
        scaling_config=train.ScalingConfig(
            num_workers=count, use_gpu=ray.cluster_resources().get("GPU", 0) >= count
        ),
        run_config=train.RunConfig(
            storage_path=str(place.resolve()),
            failure_config=train.FailureConfig(max_failures=course.max_restarts),
            worker_runtime_env={"env_vars": threads | {"RAY_CHDIR_TO_TRIAL_DIR": "0"}},
        ),
    )
    try:
        trainer.fit()
    except train.WorkerGroupError as error:
        return {index: name(index, count, each) for index, each in error.worker_failures.items()}
    except train.ControllerError as error:
        raise WorkerCrashed(f"Ray Train could not go on: {error.controller_failure}") from None
    return {}


def name(index: int, count: int, error: Exception) -> WorkerCrashed:
    """Return the error of a rank with its number."""
    text = str(error)
    if not text.startswith("rank "):
        reason = text if isinstance(error, WorkerCrashed) else f"{type(error).__name__}: {text}"
        text = f"rank {index} of {count}, {reason}"
    return WorkerCrashed(text)


def work(given: Given) -> None:
    """Train one rank, in a worker of Ray Train.

    Raises:
        WorkerCrashed: Its process has died, so that Ray Train may start all of them again.
    """
    import ray

    desk, folder = given["desk"], given["folder"]
    # Ray blocks it in its processes, and what they start would inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    place, is_resumed = agree(folder, given["former"])
    if place.is_first and (restart := ray.get(desk.begin.remote())):
        await_end(folder)
        desk.tell.remote({"restart": restart})

    def report(event: Event) -> None:
        # Nobody waits for it; messages of one caller stay in order.
        if place.is_first:
            desk.tell.remote({"event": event})

    with passing_signals(ray, desk):
        try:
            message: Message = {"row": given["rank"](place, is_resumed, report)}
        except (WorkerCrashed, *KINDS.values()) as error:
            if is_death(error):
                raise
            message = {"error": (type(error).__name__, str(error))}
    ray.get(desk.tell.remote({**message, "rank": place.index}))


def await_end(folder: Path) -> None:
    """Wait for the process of the former rank 0, which may be saving the run."""
    deadline = time.monotonic() + SECONDS_FOR_AN_ORPHAN
    while is_held(folder) and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_LOOKS)


def agree(folder: Path, former: tuple[int, int] | None) -> tuple[Place, bool]:
    """Return the place of this worker, and if the folder's run goes on, as rank 0 has found it."""
    import ray
    from ray import train
    from ray.train.collective import broadcast_from_rank_zero

    context = train.get_context()
    index, count = context.get_world_rank(), context.get_world_size()
    found = None
    if index == 0:
        meeting = free_address(ray.util.get_node_ip_address())
        found = (meeting, secrets.token_hex(16), stamp(RunFolder(folder)) != former)
    meeting, token, is_resumed = broadcast_from_rank_zero(found)
    if count == 1:
        return ALONE, is_resumed
    place = Place(
        index=index,
        count=count,
        meeting=meeting,
        token=token,
        local_index=context.get_local_rank(),
        local_count=context.get_local_world_size(),
    )
    return place, is_resumed


@contextmanager
def passing_signals(ray: ModuleType, desk: Handle) -> Iterator[None]:
    """Pass each signal of the command on to the process of this rank, within a second."""
    is_over = threading.Event()

    def look() -> None:
        num_passed = 0
        while not is_over.wait(SECONDS_BETWEEN_LOOKS):
            numbers = ray.get(desk.signals.remote())
            # Without a process there is nobody to stop yet: it has them when it is there.
            # One at a time: two that are pending at once would count as one.
            waiting, workers = numbers[num_passed : num_passed + 1], list(LIVE)
            for worker in workers if waiting else ():
                worker.interrupt(waiting[0])
            num_passed += bool(waiting and workers)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
