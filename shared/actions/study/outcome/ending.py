"""The end of a study: files of the finalists, the decision, and a learning curve."""

from collections.abc import Callable, Sequence
from dataclasses import replace
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

from .files import KEY, list_notes, list_rows, measure_files, read_files
from .learning import run_curve

NO_CURVE = "No time was left to train on fewer images: whether more images help is not known."


def end_study(
    source: Source,
    protocol: Protocol,
    cells: RecordedCells,
    output: Path,
    beyond: Beyond,
    tell: Callable[[str], None],
) -> tuple[Decision, list[str]]:
    """Measure the files, decide, and train on fewer images if time is left.

    Args:
        source: The data.
        protocol: Its protocol.
        cells: Cells that have ended, and the clock.
        output: The study's folder.
        beyond: The limits, and what they left out.
        tell: Called with a sentence before each step.

    Returns:
        The decision, and sentences about what is missing.
    """
    finals, clock = find_finals(cells.ended), cells.clock

    def measure() -> Entry:
        left = clock.all_left - spare(clock.budget_seconds)
        return measure_files(list_rows(finals), output, left, tell=tell)

    notes = list[str]()
    if finals:
        entry = cells.record(KEY, measure)
        beyond, notes = replace(beyond, files=read_files(entry)), list_notes(entry)
    decision = decide(collect(source, protocol, cells.ended, output, beyond))
    chosen = (decision.recommended.candidate, decision.recommended.framework)
    own = [job for job in finals if (job.candidate.name, job.backend) == chosen]
    if run_curve(own, cells, output):
        decision = decide(collect(source, protocol, cells.ended, output, beyond))
    elif chosen[1] in BACKENDS:
        notes.append(NO_CURVE)
    return decision, notes


def check_formats(frameworks: Sequence[str], limits: Limits) -> None:
    """Refuse a limit on latency if a framework's files cannot be written and run here.

    Raises:
        UsageError: A module is not installed.
    """
    for framework in frameworks if limits.max_latency_seconds is not None else ():
        format_of(framework)
