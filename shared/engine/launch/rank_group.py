"""The ranks of a run as one worker: a call goes to all of them, and one answer comes back."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from os import environ
from pathlib import Path

import numpy as np

from poc.shared.engine.ranks.place import Place
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Found, Given, Operation
from poc.shared.errors import CheckFailed

from .rank_workers import end_all, local_places, settle, variables_of


class RankGroup:
    """Workers of one backend that are the ranks of one run.

    Args:
        workers: In the order of their ranks.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = workers

    def call(
        self, operation: Operation[Given, Found], *nothing: Given.args, **arguments: Given.kwargs
    ) -> Found:
        """Run one operation in all ranks; return their common answer.

        Args:
            operation: Operation to run.
            nothing: Arguments by position, which are refused.
            arguments: Arguments of the operation, by name; each rank gets all of them.

        Raises:
            CheckFailed: Two ranks have other bits.
            WorkerCrashed: A rank has died or raised an unforeseen error; the message names it.
        """

        def ask(worker: Worker) -> Found:
            return worker.call(operation, *nothing, **arguments)

        with ThreadPoolExecutor(len(self.workers)) as threads:
            futures = [threads.submit(ask, worker) for worker in self.workers]
            first, *others = settle(futures, self._kill)
        for index, other in enumerate(others, start=1):
            if where := find_difference(first, other):
                raise CheckFailed(
                    f"Got other values from rank {index} than from rank 0, the first in {where}. "
                    "Expected the same bits from all ranks. Try `poc parity` without --processes."
                )
        return first

    def _kill(self) -> None:
        for worker in self.workers:
            worker.kill()


@contextmanager
def open_group(backend: str, count: int, log: Path | None = None) -> Iterator[RankGroup]:
    """Start so many ranks of a backend; they end with the block.

    Args:
        backend: `tf` or `torch`.
        count: Number of ranks, 2 or more.
        log: File for the output of all of them.
    """
    workers = dict[int, Worker]()
    with ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        # Also if one of them has not started.
        stack.callback(lambda: end_all([workers[index] for index in sorted(workers)]))

        def start(place: Place) -> None:
            variables = variables_of(place, [*environ])
            workers[place.index] = Worker(backend, log=log, variables=variables)

        for future in [threads.submit(start, place) for place in local_places(count)]:
            future.result()
        yield RankGroup([workers[index] for index in range(count)])


def find_difference(first: object, second: object, name: str = "") -> str:
    """Name the first value that is not the same in two answers; "" if there is none.

    Answers are mappings, sequences, numbers and arrays (…).
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if first.keys() != second.keys():
            return name or "names"
        pairs = [(first[key], second[key], f"{name}/{key}") for key in first]
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        if len(first) != len(second):
            return name or "numbers of values"
        pairs = [(*both, f"{name}/{i}") for i, both in enumerate(zip(first, second, strict=True))]
    else:
        # A NaN that all ranks have is none of theirs alone.
        one, other = np.asarray(first), np.asarray(second)
        is_same = one.dtype == other.dtype and one.tobytes() == other.tobytes()
        return "" if is_same else (name.removeprefix("/") or "the answer")
    return next((where for pair in pairs if (where := find_difference(*pair))), "")
