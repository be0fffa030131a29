"""The end of a study: files of the finalists, the decision, and a learning curve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from poc.shared.actions.exports.plain_file import format_of
from poc.shared.actions.study.ledger import Entry
from poc.shared.actions.study.outcome.collection import Beyond, collect, find_finals
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.shared.actions.study.search import spare
from poc.shared.analysis.study.deciding import decide
from poc.shared.analysis.study.decision import Decision
from poc.shared.analysis.study.limits import Limits
from poc.shared.data.protocol.protocol import Protocol
from poc.shared.data.sources.base import Source
from poc.shared.spec.run import BACKENDS

from .files import KEY, Row, list_notes, list_rows, measure_files, read_files
from .learning import can_shrink, run_curve

NO_CURVE = "No time was left to train on fewer images: whether more images help is not known."
NOT_SMALLER = (
    "The recommended network cannot be trained on fewer images alike: whether more images help is "
    "not known."
)


@dataclass(frozen=True)
class Ending:
    """The work after the finals.

    Attributes:
        source: The data.
        protocol: Its protocol.
        cells: Cells that have ended, and the clock.
        output: The study's folder.
        tell: Called with a sentence before each step.
        publish: Called with each decision, and sentences about what is missing.
    """

    source: Source
    protocol: Protocol
    cells: RecordedCells
    output: Path
    tell: Callable[[str], None]
    publish: Callable[[Decision, Sequence[str]], None]

    def run(self, beyond: Beyond) -> Decision:
        """Measure the files and decide; then train on fewer images, if time is left.

        Args:
            beyond: The limits, and what they left out.
        """
        finals, notes = find_finals(self.cells.ended), list[str]()
        if finals:
            rows = list_rows(finals)
            # A longer budget has time for more rows and measures again.
            key = f"{KEY}: {len(rows)} rows, {self.cells.clock.budget_seconds:g} s"
            entry = self.cells.record(key, lambda: self.measure(rows))
            beyond, notes = replace(beyond, files=read_files(entry)), list_notes(entry)
        decision = self.decide(beyond)
        # The answer is there now; the curve adds a sentence to it.
        self.publish(decision, notes)
        chosen = (decision.recommended.candidate, decision.recommended.framework)
        own = [job for job in finals if (job.candidate.name, job.backend) == chosen]
        if run_curve(own, self.cells, self.output):
            decision = self.decide(beyond)
        elif chosen[1] in BACKENDS:
            notes.append(NO_CURVE if all(map(can_shrink, own)) else NOT_SMALLER)
        self.publish(decision, notes)
        return decision

    def measure(self, rows: Sequence[Row]) -> Entry:
        """Export some rows, and time their files."""
        clock = self.cells.clock
        left = clock.all_left - spare(clock.budget_seconds)
        return measure_files(rows, self.output, left, tell=self.tell)

    def decide(self, beyond: Beyond) -> Decision:
        """Decide by all cells that have ended."""
        ended = self.cells.ended
        return decide(collect(self.source, self.protocol, ended, self.output, beyond))


def check_formats(frameworks: Sequence[str], limits: Limits) -> None:
    """Refuse a limit on latency if a framework's files cannot be written and run here.

    Raises:
        UsageError: A module is not installed.
    """
    for framework in frameworks if limits.max_latency_seconds is not None else ():
        format_of(framework)
