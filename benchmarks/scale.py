"""Figures of one machine for the model of many, a check of the model here, and the page's tables.

    python benchmarks/scale.py --output scale.json --write docs/scale.md
    python benchmarks/scale.py --output trial.json --networks light --small

The first command takes up to an hour and needs a machine without other programs.

Measured in each framework, each in a process with one thread: steps of three networks by batch,
sums over two ranks by size, the messages of the meeting of the ranks, and the time to decode a
photo. The check trains each network with `poc run` in one process and in two, on images that need
no decoding, and compares the second epoch with the model. `scale_model.py` has the formulas. A
second call measures only what is not in the file; `--write` replaces the part of a page between
its two markers.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from poc.benchmarks.scale_check import ONE_THREAD, check
from poc.benchmarks.scale_figures import (
    NETWORKS,
    measure_decoding,
    measure_messages,
    time_batches,
    time_sums,
)
from poc.benchmarks.scale_page import MARKERS, fill, write_tables
from poc.shared.engine.machine.environment import describe_machine
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.ports import local_addresses
from poc.shared.spec.run import BACKENDS


def main() -> int:
    """Measure what is missing, and write the file and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="file of all figures")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--small", action="store_true", help="few repeats: a trial of the script")
    parser.add_argument("--one", nargs=2, metavar=("WORK", "BACKEND"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        work, backend = given.one
        print(json.dumps(WORK[work.split(":")[0]](backend, work, given.small)))
        return 0
    found = json.loads(given.output.read_text()) if given.output.exists() else {}
    for name, measure in plan(given).items():
        if name in found:
            continue
        # As the file has it: keys are texts.
        found[name] = json.loads(json.dumps(measure()))
        # Load from other programs makes times too long: the page shows it.
        found[name]["load"] = os.getloadavg()[0]
        found["machine"] = describe_machine()
        given.output.write_text(json.dumps(found, indent=1))
        print(f"{name}: {found[name]}", flush=True)
    if given.write:
        titles = {name: str(NETWORKS[name]["title"]) for name in given.networks}
        given.write.write_text(fill(given.write.read_text(), write_tables(found, titles)))
        print(f"{given.write}: tables between {' and '.join(MARKERS)}")
    return 0


def plan(given: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return name -> measurement, the cheap ones first."""
    small = given.small
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "decoding": partial(measure_decoding, small),
        "meeting": partial(measure_messages, small),
    }
    for backend in given.backends:
        work[f"sums {backend}"] = partial(measure_sums, backend, small)
    for name in given.networks:
        for backend in given.backends:
            work[f"steps {name} {backend}"] = partial(start, f"steps:{name}", backend, small)
    for name in given.networks:
        for backend in given.backends:
            work[f"check {name} {backend}"] = partial(check, name, backend, small)
    return work


def start(work: str, backend: str, is_small: bool) -> dict[str, Any]:
    """Run a measurement in a process with one thread, and return what it prints last."""
    return wait(launch(work, backend, is_small, {}))


def launch(
    work: str, backend: str, is_small: bool, variables: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a measurement in a process of its own."""
    command = [sys.executable, __file__, "--output", ".", "--one", work, backend]
    return subprocess.Popen(
        [*command, *(["--small"] if is_small else [])],
        env={**os.environ, **ONE_THREAD, **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a measurement prints last.

    Raises:
        RuntimeError: It failed; its own message is above.
    """
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"Got exit code {process.returncode} of {process.args!r}. Expected 0.")
    return dict(json.loads(printed.splitlines()[-1]))


def measure_sums(backend: str, is_small: bool) -> dict[str, Any]:
    """Return the median seconds of a sum over two ranks of this machine, for each size."""
    *addresses, meeting = local_addresses(3)
    token = secrets.token_hex(8)
    places = [
        Place(index=i, count=2, addresses=tuple(addresses), meeting=meeting, token=token)
        for i in range(2)
    ]
    processes = [launch("sums", backend, is_small, place.to_environment()) for place in places]
    try:
        first, _ = map(wait, processes)
    finally:
        # One that has failed leaves the other waiting.
        for process in processes:
            process.kill()
    return first


WORK = {"steps": time_batches, "sums": time_sums}

if __name__ == "__main__":
    sys.exit(main())
