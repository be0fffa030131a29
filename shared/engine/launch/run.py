"""Launch of a run from the command's side: its folder, its worker, and the worker's reports."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from poc.shared.engine.console.work_count import Event, Report, WorkCount
from poc.shared.engine.folder.former_runs import check_continuation
from poc.shared.engine.folder.lock import hold_lock
from poc.shared.engine.folder.record import RunRecord, anchor
from poc.shared.engine.folder.reservation import stamp, starting
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.machine.load import describe_neighbours
from poc.shared.engine.machine.memory_evidence import MemoryEvidence
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.resolving.before_data import check_before_data
from poc.shared.engine.resolving.memory import require_memory
from poc.shared.engine.resolving.teacher import require_teacher, resolve_teacher
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.habits.rules import describe_resume
from poc.shared.spec.run import RunSpec

from .course import Course
from .follower import follow
from .imagenet import resolve_imagenet
from .rank_workers import Row, is_death, local_places, train_together, variables_of
from .ray_ranks import train_on_ray

USUAL = Course()


class Job(TypedDict):
    """Arguments of `train` besides the run and its folder."""

    command: str
    save_every: str
    is_resumed: bool


def launch_run(
    run: RunSpec,
    output: Path | None,
    *,
    command: str,
    overwrite: bool,
    report: Report,
    course: Course = USUAL,
) -> dict[str, Any]:
    """Train in a process of its own, or in several.

    Args:
        run: Run to train.
        output: Run folder; None for a new one below `runs/`.
        command: The command line, recorded in the folder.
        overwrite: Replace a run that is there.
        report: Called with progress events.
        course: Saves and processes.

    Returns:
        The run's row of the comparison table.
    """
    # Refusals that need no framework come first, since a framework takes seconds to start.
    course.check(run)
    course.require_output(output)
    check_before_data(run)
    run = anchor(resolve_teacher(resolve_imagenet(run)))
    require_memory(run)
    path = output or new_output(run)
    refuse_own_weights(run, path)
    job: Job = {"command": command, "save_every": course.save_every, "is_resumed": False}
    return carry_out(run, path, report, job, course, overwrite=overwrite)


def carry_out(
    run: RunSpec, path: Path, report: Report, job: Job, course: Course, *, overwrite: bool
) -> Row:
    """Train all ranks that this process starts, or the one that it is if it was launched.

    Args:
        run: Run to train, or to go on with.
        path: Its folder.
        report: Called with progress events.
        job: The other arguments of `train`.
        course: Processes, restarts and place.
        overwrite: Replace a run that is there, if this one starts.
    """
    if course.is_on_ray:
        folder = path.resolve()

        def train_rank(place: Place, is_resumed: bool, report: Report) -> Row:
            own = Course(save_every=course.save_every, place=place)
            again: Job = {**job, "is_resumed": is_resumed}
            return carry_out(run, folder, report, again, own, overwrite=overwrite)

        return train_on_ray(train_rank, folder, report, course, is_resumed=job["is_resumed"])
    if not course.place.is_first:
        return follow(run.backend, course.place, path, report, partial(train, run, path, job))
    if job["is_resumed"]:
        with hold_lock(path) as lock:
            return train_restarting(run, RunFolder(path), lock, report, job, course)
    with starting(path, overwrite=overwrite) as (started, lock):
        return train_restarting(run, started, lock, report, job, course)


def refuse_own_weights(run: RunSpec, path: Path) -> None:
    """Refuse to replace the run whose weights this one needs.

    Raises:
        UsageError: The teacher or the initial weights are in the run's own folder.
    """
    needed = {
        "teacher": run.teacher.weights if run.teacher else None,
        "weights": run.initial_weights,
    }
    for option, file in needed.items():
        if file is not None and Path(file).resolve().is_relative_to(path.resolve()):
            raise UsageError(
                f"Got --{option} {file!r} with the output {str(path)!r}, which contains it and "
                "would be replaced. Expected another folder. Try naming one with --output."
            )


def resume_run(
    path: Path,
    *,
    command: str,
    report: Report,
    course: Course = USUAL,
    data: str | None = None,
) -> dict[str, Any]:
    """Continue the run of a folder; if it has finished, only return its row.

    Args:
        path: Run folder.
        command: The command line, recorded in the folder.
        report: Called with progress events.
        course: Saves and processes, which may be others than before.
        data: Present place of the run's data; None for the recorded one.

    Returns:
        The run's row of the comparison table.

    Raises:
        UsageError: No run has begun there, the folder is damaged, or another process holds it.
    """
    folder = RunFolder(path)
    course.check()
    if not (path / "run.json").is_file():
        raise UsageError(
            f"Got --resume {str(path)!r}, where no run has begun (there is no run.json). Expected "
            "a run folder. Try naming one, or starting the run again with --output."
        )
    record = folder.read_run()
    run = RunSpec.parse(record.get("run", {}), "")
    if record.get("status") == "finished":
        report({"event": "note", "text": f"The run of {path} had finished: this is its row."})
        return folder.read_summary() | {"folder": str(path)}
    check_continuation(run, f"--resume {str(path)!r}", record.get("format"))
    course.check(run)
    # Read here only to refuse a damaged one before a worker starts; the worker reads it again.
    folder.read_checkpoint()
    located = RunRecord(path, record).locate(data)
    run = run.replace(data={**run.data.model_dump(mode="json"), "source": located})
    require_teacher(run)
    if other_masks := describe_resume(run):
        report({"event": "note", "text": other_masks})
    job: Job = {"command": command, "save_every": course.save_every, "is_resumed": True}
    return carry_out(run, path, report, job, course, overwrite=False)


def train(run: RunSpec, path: Path, job: Job, worker: Worker) -> Row:
    """Train in a worker, into a folder; return the row, or {} on ranks but the first."""
    given = run.model_dump(mode="json")
    return worker.call(Operations.train, run=given, folder=str(path.resolve()), **job)


def train_restarting(
    run: RunSpec, folder: RunFolder, lock: int, report: Report, job: Job, course: Course
) -> Row:
    """Call `train_in_workers`; after the death of a rank, again with those that are there.

    Raises:
        WorkerCrashed: No restart is left, or a worker raised an unforeseen error.
    """
    places, former = course.places(), stamp(folder)
    for restart in range(1, course.max_restarts + 1):
        try:
            return train_in_workers(run, folder, lock, report, job, places)
        except WorkerCrashed as error:
            if not is_death(error):
                raise
            reason = str(error).split("\n")[0]
        places = local_places(max(len(places) - 1, 1))
        # A run that has begun goes on; another begins again.
        is_resumed = job["is_resumed"] or stamp(folder) != former
        job = {**job, "is_resumed": is_resumed}
        ranks = f"{len(places)} process{'es' if len(places) > 1 else ''}"
        text = f"Restart {restart} of {course.max_restarts}, with {ranks}: {reason}."
        report({"event": "note", "text": text})
    return train_in_workers(run, folder, lock, report, job, places)


def train_in_workers(
    run: RunSpec,
    folder: RunFolder,
    lock: int,
    report: Report,
    job: Job,
    places: Sequence[Place],
) -> Row:
    """Call `train` in a worker for each place, all of which hold the lock too.

    Raises:
        WorkerCrashed: The message says if memory may be the reason. A run that began or went on is
            marked.
    """
    # Measured before the worker starts: afterwards it would count as one of the other programs.
    neighbours = describe_neighbours(run.backend)
    WorkCount(report, f"starting {run.backend}")
    evidence = MemoryEvidence.before()
    # A list, since the event below replaces the run by the one that its data has completed.
    former, resolved = stamp(folder), [run]

    def watch(event: Event) -> None:
        if event["event"] == "resolved":
            resolved.append(RunSpec.parse(event["run"], ""))
            # Only now, when nothing can be refused any more: a refused run needs no such note.
            if neighbours:
                report({"event": "note", "text": neighbours, "about": "load"})
        else:
            report(event)

    def start(place: Place) -> Worker:
        # The first rank tells what all of them do.
        told, variables = watch if place.is_first else None, variables_of(place, [*os.environ])
        log, held = folder.log, [lock]
        return Worker(run.backend, log=log, report=told, inherited=held, variables=variables)

    try:
        row = train_together(places, start, partial(train, run, folder.path, job))
    except WorkerCrashed as error:
        # Until the worker replaces it, `run.json` must not change: it is that of a former run, or
        # that of this one, which has not gone on.
        has_written = stamp(folder) != former
        has_begun = job["is_resumed"] or has_written
        message = explain_crash(resolved[-1], folder, str(error), evidence, has_begun=has_begun)
        if has_written:
            with suppress(UsageError, OSError):
                folder.mark("failed", error=message)
        raise WorkerCrashed(message) from None
    return row | {"folder": str(folder.path)}


def explain_crash(
    run: RunSpec, folder: RunFolder, message: str, evidence: MemoryEvidence, *, has_begun: bool
) -> str:
    """Explain a dead worker: its last words, a possible lack of memory, and how to continue."""
    # A damaged folder adds no advice, but must not hide how the worker ended.
    with suppress(UsageError, OSError, KeyError):
        if has_begun and folder.read_checkpoint() is not None:
            message += f"\nGo on from its last checkpoint with `poc run --resume {folder.path}`."
        if about_memory := evidence.explain(run, message):
            message += f"\n{about_memory}"
    return message


def new_output(run: RunSpec, root: Path = Path("runs")) -> Path:
    """Choose a name for a new folder that says what ran."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{run.method}-{run.model_spec.name}-{run.backend}"
    # Several runs may start within one second.
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        if not (path := root / f"{stem}{suffix}").exists():
            return path
    raise RuntimeError(f"Got 999 runs called {stem} within one second. Expected fewer.")
