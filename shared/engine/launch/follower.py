"""A rank that a launcher has started, other than the first one: it trains and writes nothing.

The first rank's command holds the run's folder, reports and judges. That of another rank only has a
worker, whose output it shows if the worker crashes.
"""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from poc.shared.engine.console.work_count import Report
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.worker.handle import Worker

from .rank_workers import Row, explain, variables_of


def follow(
    backend: str, place: Place, folder: Path, report: Report, train: Callable[[Worker], Row]
) -> Row:
    """Train the part of a rank other than the first; return its rank and the run's folder.

    Args:
        backend: `tf` or `torch`.
        place: Its place.
        folder: The run's folder.
        report: Called with a note about what this process does.
        train: Trains in a worker.

    Raises:
        WorkerCrashed: The worker has died or raised an unforeseen error; the message names it.
    """
    text = f"Rank {place.index} of {place.count}: rank 0 reports, and writes {folder}."
    report({"event": "note", "text": text})
    with TemporaryDirectory() as own:
        variables = variables_of(place, [*os.environ])
        try:
            with Worker(backend, log=Path(own) / "worker.log", variables=variables) as worker:
                train(worker)
        except Exception as error:
            raise explain(place.index, error, place.count) from None
    return {"rank": place.index, "folder": str(folder)}
