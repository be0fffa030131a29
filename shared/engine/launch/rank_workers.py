"""The workers of one run: one, or several that train it together on this machine."""

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from threading import Event
from typing import TypeVar

from poc.shared.engine.ranks.place import ALONE, Place
from poc.shared.engine.ranks.ports import local_addresses
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.engine.worker.interruption import AFTER_STEP
from poc.shared.errors import Interrupted
from poc.shared.machine import count_cpus

Row = dict[str, object]
Answer = TypeVar("Answer")
# After a rank has died, others may be about to say why; more time than that helps nobody.
SECONDS_TO_SETTLE = 2.0
# After a rank has refused the run or was ended by a signal, the others end too. After a stop that
# all have agreed on, the first one saves.
SECONDS_TO_REFUSE, SECONDS_TO_STOP = 15.0, 300.0
# Variables that set the threads of one operation. Those that the user has set win.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
# Ranks meet without torchrun's own store, also where torchrun has started them.
QUIETED = {"TORCHELASTIC_USE_AGENT_STORE": "False"}


def local_places(count: int) -> list[Place]:
    """Return the places of so many processes of this machine."""
    if count == 1:
        return [ALONE]
    *addresses, meeting = local_addresses(count + 1)
    word = secrets.token_hex(16)
    all_of_them = Place(
        count=count,
        addresses=tuple(addresses),
        meeting=meeting,
        token=word,
        local_count=count,
    )
    return [replace(all_of_them, index=index, local_index=index) for index in range(count)]


def variables_of(place: Place, environment: Sequence[str]) -> dict[str, str]:
    """Return the environment variables that a worker gets: its place, and its share of threads.

    `environment` names the variables that the user has set.
    """
    if place.is_alone:
        return {}
    threads = str(max(count_cpus() // place.local_count, 1))
    own = {name: threads for name in THREAD_VARIABLES if name not in environment}
    return own | QUIETED | place.to_environment()


def train_together(
    places: Sequence[Place], start: Callable[[Place], Worker], train: Callable[[Worker], Row]
) -> Row:
    """Start a worker for every rank, and train; the first one that fails ends the others.

    Args:
        places: The places, of which the first one gives the row.
        start: Starts the worker of a place.
        train: Trains in it, and returns its row.

    Raises:
        WorkerCrashed: A rank has died or raised an unforeseen error; the message names it.
        UsageError, CheckFailed, Interrupted, Terminated: The ranks raised it.
    """
    if len(places) == 1:
        with start(places[0]) as worker:
            return train(worker)
    workers, is_over = list[Worker](), Event()
    with ExitStack() as stack, ThreadPoolExecutor(len(places)) as threads:
        # After all threads have ended: ranks that are done are still needed by the others.
        stack.callback(end_all, workers)

        def work(place: Place) -> Row:
            worker = start(place)
            workers.append(worker)
            if is_over.is_set():
                worker.kill()
            return train(worker)

        def kill() -> None:
            is_over.set()
            for worker in list(workers):
                worker.kill()

        return settle([threads.submit(work, place) for place in places], kill)[0]


def settle(futures: Sequence[Future[Answer]], kill: Callable[[], None]) -> list[Answer]:
    """Wait for all ranks, and return their answers; after a failure the others are ended.

    Args:
        futures: The work of each rank.
        kill: Ends all ranks.

    Raises:
        WorkerCrashed: A rank has died or raised an unforeseen error; the message names it.
        UsageError, CheckFailed, Interrupted, Terminated: The ranks raised it.
    """
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        if failed := find_failures(futures):
            raise explain(*choose_failure(await_others(futures, failed)), len(futures))
        return [future.result() for future in futures]
    except BaseException:
        kill()
        wait(futures)
        raise


def end_all(workers: Sequence[Worker]) -> None:
    """End all processes, that of the first rank, which leads, last."""
    for worker in reversed(workers):
        worker.close()


def find_failures(futures: Sequence[Future[Answer]]) -> dict[int, BaseException]:
    """Return rank -> error, of those that have failed so far."""
    return {
        index: error
        for index, future in enumerate(futures)
        if future.done() and (error := future.exception()) is not None
    }


def await_others(
    futures: Sequence[Future[Answer]], failed: dict[int, BaseException]
) -> dict[int, BaseException]:
    """Give the other ranks the time that they need after a failure; return all failures."""
    errors = list(failed.values())
    seconds = SECONDS_TO_REFUSE
    if any(isinstance(error, WorkerCrashed) for error in errors):
        seconds = SECONDS_TO_SETTLE
    elif all(has_stopped_together(error) for error in errors):
        seconds = SECONDS_TO_STOP
    wait(futures, timeout=seconds)
    return find_failures(futures)


def choose_failure(failed: dict[int, BaseException]) -> tuple[int, BaseException]:
    """Return the rank and the error to tell: a process that died explains what others raised."""

    def order(item: tuple[int, BaseException]) -> tuple[bool, bool, int]:
        index, error = item
        return not is_death(error), not isinstance(error, WorkerCrashed), index

    return min(failed.items(), key=order)


def has_stopped_together(error: BaseException) -> bool:
    """Say if a rank has stopped after the step that all ranks agreed on, and not at once."""
    return isinstance(error, Interrupted) and str(error).startswith(AFTER_STEP)


def is_death(error: BaseException) -> bool:
    """Say if a process has ended by itself or by a signal, with no word about it."""
    return (
        isinstance(error, WorkerCrashed) and " died with exit status " in str(error).split("\n")[0]
    )


def explain(index: int, error: BaseException, count: int) -> BaseException:
    """Name the rank of a crash; other errors are the run's own and need no rank."""
    if not isinstance(error, WorkerCrashed):
        return error
    return WorkerCrashed(f"rank {index} of {count}, {error}")
