"""Workers that are the ranks of one run, and calls to all of them at once."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.ports import local_addresses
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.interruption import LIVE

ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}


def places(count: int) -> list[Place]:
    """The places of so many ranks on this machine."""
    *addresses, meeting = local_addresses(count + 1)
    shared = {"addresses": tuple(addresses), "meeting": meeting, "token": secrets.token_hex(8)}
    return [Place(index=index, count=count, **shared) for index in range(count)]


@contextmanager
def open_ranks(backend: str, count: int, folder: Path) -> Iterator[list[Worker]]:
    """One worker for each rank."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as threads:

        def start(place: Place) -> Worker:
            variables = ONE_THREAD | place.to_environment()
            return Worker(backend, log=folder / f"log{place.index}", variables=variables)

        workers = list(threads.map(start, places(count)))
        for worker in workers:
            stack.enter_context(worker)
            # A signal that another test sends to this process is not for them.
            LIVE.discard(worker)
        yield workers


def call_all(workers: list[Worker], operation: Callable[..., Any], **arguments: Any) -> list[Any]:
    """The answers of all ranks to the same call."""
    with ThreadPoolExecutor(len(workers)) as threads:
        return list(threads.map(lambda worker: worker.call(operation, **arguments), workers))
