"""Results of a study, read from the run folders of its cells."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np

from poc.shared.actions.study.candidates import MAJORITY, NO_FRAMEWORK
from poc.shared.actions.study.jobs import Job, Trial
from poc.shared.analysis.study.costs import Cost
from poc.shared.analysis.study.limits import NO_LIMITS, Limits
from poc.shared.analysis.study.results import Answers, FinalRun, Results, SearchRun
from poc.shared.data.protocol.protocol import SEARCH_SEEDS, Cell, Protocol, find_pattern
from poc.shared.data.protocol.readings import Reading, check_readings
from poc.shared.data.sources.base import Source
from poc.shared.data.splits.files import positions_of
from poc.shared.data.splits.partition import groups_of
from poc.shared.data.splits.split import make_split
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS, RunFolder

from .answers import TEST_PREDICTIONS, read_answers, read_recorded
from .files import FileCost
from .learning import is_smaller, read_points


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """Facts of the results that no cell has.

    Attributes:
        files: Size and latencies of each row's file.
        limits: Limits of the user.
        not_trained: Candidates that a limit left out.
    """

    files: Mapping[tuple[str, str], FileCost] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    not_trained: Sequence[str] = ()


def collect(
    source: Source,
    protocol: Protocol,
    ended: Sequence[Trial],
    output: Path,
    beyond: Beyond | None = None,
) -> Results:
    """Read the results of the finalists; the largest class of the train part is one more.

    Args:
        source: The data.
        protocol: Its protocol.
        ended: All cells that have ended.
        output: The study's folder.
        beyond: Files and limits; none: no file was measured, and there is no limit.

    Raises:
        CheckFailed: A run of the search has read a test image, or one was tested twice.
    """
    beyond, finals = beyond or Beyond(), find_finals(ended)
    smaller = [t.job for t in ended if is_smaller(t.job) and t.outcome.is_finished]
    searches = [t.job for t in ended if t.job.phase == "search" and t.outcome.is_finished]
    check_readings(
        source,
        [read_parts(job, output) for job in searches],
        [read_parts(job, output) for job in (*finals, *smaller)],
    )
    names = {job.candidate.name for job in finals}
    is_folds = protocol.cells[0].split.kind == "kfold"
    tested = list_tested(protocol, finals)
    groups = groups_of(source, find_pattern(protocol.question))
    ids = list(positions_of(source))
    return (
        Results(
            runs=[
                *(read_final(job, output) for job in finals),
                *(guess_largest(source, cell) for cell in tested),
            ],
            search=[]
            if is_folds
            else list(list_search(source, protocol, searches, finals, output)),
            is_folds=is_folds,
            groups=None if groups is None else dict(zip(ids, groups.tolist(), strict=True)),
            deterministic=frozenset(
                {MAJORITY}
                | {job.candidate.name for job in finals if job.candidate.is_deterministic}
            ),
            costs=dict(measure_costs(finals, output, beyond.files)),
            learning=read_points(finals, smaller, output),
            smallest_difference=protocol.question.smallest_difference,
            limits=beyond.limits,
            not_trained=beyond.not_trained,
        )
        if names
        else only_largest(source, protocol)
    )


def find_finals(ended: Sequence[Trial]) -> list[Job]:
    """Return the tested cells of the rows that are complete, without those of fewer images."""
    tested = [t.job for t in ended if t.job.phase == "finals" and t.outcome.is_finished]
    return keep_full([job for job in tested if not is_smaller(job)])


def keep_full(jobs: Sequence[Job]) -> list[Job]:
    """Leave out rows that failed on several splits: rows are compared on common images alone."""
    counts = Counter((job.candidate.name, job.backend) for job in jobs)
    most = max(counts.values(), default=0)
    least = most - 1 if any(not job.candidate.is_deterministic for job in jobs) else most
    return [
        job
        for job in jobs
        if counts[job.candidate.name, job.backend] >= least
        or (job.candidate.is_deterministic and job.split.kind != "kfold")
    ]


def list_tested(protocol: Protocol, finals: Sequence[Job]) -> list[Cell]:
    """Return the cells of the protocol on which finalists were tested; on a holdout the first."""
    if protocol.cells[0].split.kind != "kfold":
        return [protocol.cells[0]]
    tested = {(job.split.seed, job.split.fold) for job in finals}
    return [cell for cell in protocol.cells if (cell.split.seed, cell.split.fold) in tested]


def read_parts(job: Job, output: Path) -> Reading:
    """Read the parts that a run recorded, and those of its teacher's run."""
    row = f"{job.candidate.name} {job.backend}"
    teacher = read_recorded(output / job.teacher.key) if job.teacher else None
    return Reading(job.key, row, job.split, job.seed, read_recorded(output / job.key), teacher)


def read_final(job: Job, output: Path) -> FinalRun:
    """Read a run that was tested."""
    folder = output / job.key
    repeat, fold = (int(text.partition("=")[2]) for text in job.place.split(","))
    return FinalRun(
        candidate=job.candidate.name,
        framework=job.backend,
        seed=job.seed,
        repeat=repeat,
        fold=fold,
        test=read_answers(folder, TEST_PREDICTIONS),
        validation=read_answers(folder, VALIDATION_PREDICTIONS),
        folder=job.key,
    )


def list_search(
    source: Source,
    protocol: Protocol,
    searches: Sequence[Job],
    finals: Sequence[Job],
    output: Path,
) -> Iterator[SearchRun]:
    """Yield the networks of the search between which a holdout chooses."""
    settings = {(job.candidate.name, str(job.proposal), job.share, job.backend) for job in finals}
    seen = set()
    for job in searches:
        key = (job.candidate.name, str(job.proposal), job.share, job.backend)
        if key not in settings:
            continue
        if (key, job.seed) in seen:
            continue
        seen.add((key, job.seed))
        yield SearchRun(
            candidate=job.candidate.name,
            framework=job.backend,
            seed=job.seed,
            validation=read_answers(output / job.key, VALIDATION_PREDICTIONS),
        )
    guessed = guess_largest(source, protocol.cells[0])
    yield SearchRun(
        candidate=MAJORITY,
        framework=NO_FRAMEWORK,
        seed=SEARCH_SEEDS[0],
        validation=guessed.validation,
    )


def guess_largest(source: Source, cell: Cell) -> FinalRun:
    """Answer with the largest class of the train part, on the images of a cell."""
    split, names = make_split(source, cell.split), list(positions_of(source))
    labels = np.asarray(source.labels)
    largest = int(np.bincount(labels[split.train]).argmax())
    answers = {
        part: Answers(
            [names[index] for index in split.parts[part].tolist()],
            np.asarray(labels[split.parts[part]] == largest, dtype=np.bool_),
        )
        for part in ("test", "val")
    }
    return FinalRun(
        candidate=MAJORITY,
        framework=NO_FRAMEWORK,
        seed=cell.seed,
        repeat=cell.repeat,
        fold=cell.fold,
        test=answers["test"],
        validation=answers["val"],
    )


def only_largest(source: Source, protocol: Protocol) -> Results:
    """Return the results of a study in which nothing else was tested."""
    cells = protocol.cells
    is_folds = cells[0].split.kind == "kfold"
    return Results(
        runs=[guess_largest(source, cell) for cell in (cells if is_folds else cells[:1])],
        is_folds=is_folds,
        deterministic=frozenset({MAJORITY}),
        costs={},
        smallest_difference=protocol.question.smallest_difference,
    )


def measure_costs(
    finals: Sequence[Job], output: Path, files: Mapping[tuple[str, str], FileCost]
) -> Iterator[tuple[tuple[str, str], Cost]]:
    """Yield the cost of each row: the mean over its runs, as their summaries have it; its file."""
    rows: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for job in finals:
        summary = RunFolder(output / job.key).read_summary()
        rows.setdefault((job.candidate.name, job.backend), []).append(summary)
    for key, found in rows.items():
        yield (
            key,
            Cost(
                weight_bytes=mean_of(found, "weight_bytes"),
                training_seconds=mean_of(found, "total_seconds"),
                memory_bytes=mean_of(found, "peak_memory_bytes"),
                **files.get(key, FileCost())._asdict(),
            ),
        )


def mean_of(rows: Sequence[Mapping[str, object]], column: str) -> float | None:
    """Return the mean of a column; None if a row lacks it."""
    values = [row.get(column) for row in rows]
    known = [float(value) for value in values if isinstance(value, int | float)]
    return fmean(known) if known and len(known) == len(values) else None
