"""Cells without a framework: candidates of known accuracy and cost, on a clock of their own."""

import zlib

import numpy as np

from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.finals import plan_finals, run_finals
from poc.shared.actions.study.jobs import Outcome
from poc.shared.actions.study.ledger import open_ledger
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.shared.actions.study.search import Search, Searches
from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.spec.reading.cell_names import safe, shorten_name
from poc.tests.helpers.studies.sources import make_source


class Killed(BaseException):
    """The end of a simulated process, which nothing catches."""


class SimulatedTime:
    """Seconds that grow when a cell runs."""

    def __init__(self):
        self.seconds = 0.0

    def read(self):
        return self.seconds


class SimulatedCells:
    """Runs cells: `worlds` maps a candidate's name to (accuracy, seconds of all of its epochs).

    A third number is the seconds that its multiply-adds promise.

    The process is killed in the cell number `kill_at` of this call, before it ends. A cell of the
    finals takes `finals_factor` times as long as one of the search, or what the factor's function
    says of it. The first cell of a framework takes `import_seconds` more.
    """

    def __init__(
        self, time, worlds, kill_at=None, *, start_seconds=2.0, finals_factor=1.0, import_seconds=0
    ):
        self.time, self.worlds, self.kill_at = time, worlds, kill_at
        self.factor = finals_factor if callable(finals_factor) else lambda job: finals_factor
        self.start_seconds, self.import_seconds = start_seconds, import_seconds
        self.ran, self.imported = [], set()

    def count_work(self, job):
        return 1e9 * max(self.worlds[job.candidate.name][-1], 0.1) * job.share

    def run(self, job, limit_seconds):
        if len(self.ran) == self.kill_at:
            self.time.seconds += 1.0
            raise Killed
        self.ran.append(job.key)
        accuracy, full_seconds = self.worlds[job.candidate.name][:2]
        slower = 1.4 if job.backend == "tf" else 1.0
        slower *= self.factor(job) if job.phase == "finals" else 1.0
        first = 0 if job.backend in self.imported else self.import_seconds
        self.imported.add(job.backend)
        seconds = first + slower * (self.start_seconds + full_seconds * job.share)
        free = first if job.phase == "search" else 0
        if seconds - free > limit_seconds:
            self.time.seconds += free + limit_seconds
            return Outcome("stopped", limit_seconds, error=f"stopped after {limit_seconds:.0f} s")
        self.time.seconds += seconds
        random = np.random.default_rng(zlib.crc32(mark(job).encode()))
        found = accuracy * (0.7 + 0.3 * job.share) + 0.02 * random.standard_normal()
        return Outcome(
            "finished", seconds, float(np.clip(found, 0, 1)), 1.0 - accuracy, start_seconds=first
        )


def mark(job):
    """A text of a cell that does not have the settings of the search."""
    name = f"{job.candidate.name},{job.backend},{job.place},seed={job.seed}"
    return f"{job.phase}/{shorten_name(safe(name))}"


def make_protocol(num_images=162):
    """The protocol of so many images in four classes."""
    source = make_source({"all": np.arange(num_images) % 4}, is_partitioned=False)
    return choose_protocol(source, Question())


def run_simulated(
    folder,
    candidates,
    worlds,
    budget_seconds,
    *,
    num_images=162,
    kill_at=None,
    time=None,
    searching=("torch",),
    has_students=False,
    **options,
):
    """Run a simulated study in a folder; return its search, its plan and its cells.

    Of several frameworks in `searching`, each searches. `options` are those of the cells.
    """
    time = time or SimulatedTime()
    runner = SimulatedCells(time, worlds, kill_at, **options)
    clock = Clock(budget_seconds, read=time.read)
    protocol = make_protocol(num_images)
    with open_ledger(folder, {"data": "simulated"}) as ledger:
        cells = RecordedCells(ledger, clock, runner)
        facts = {"has_students": has_students, "num_searches": len(searching)}
        each = [Search(candidates, protocol, cells, name, 26, **facts) for name in searching]
        search = Searches(each)
        search.run()
        plan = plan_finals(search.ranked(), ("torch", "tf"), protocol, cells.costs, clock)
        finals = run_finals(plan, protocol, cells)
    return each[0] if len(each) == 1 else search, plan, finals, runner
