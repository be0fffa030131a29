"""Starting runs from the command's side: a folder, a worker, and what it reports."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

from poc.shared.engine.console.work_count import Event, Report, WorkCount
from poc.shared.engine.folder.former_runs import check_continuation
from poc.shared.engine.folder.lock import hold_lock
from poc.shared.engine.folder.record import RunRecord, anchor
from poc.shared.engine.folder.reservation import stamp, starting
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import DEFAULT as DEFAULT_SAVE_EVERY
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.machine.load import describe_neighbours
from poc.shared.engine.machine.memory_evidence import MemoryEvidence
from poc.shared.engine.resolving.before_data import check_before_data
from poc.shared.engine.resolving.memory import require_memory
from poc.shared.engine.resolving.teacher import require_teacher, resolve_teacher
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec

from .imagenet import resolve_imagenet


class Job(TypedDict):
    """What `train` is told beside the run and its folder."""

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
    save_every: str = DEFAULT_SAVE_EVERY,
) -> dict[str, Any]:
    """Train in a process of its own.

    Args:
        run: What to train.
        output: Run folder; none: a new one below `runs/`.
        command: The command line, kept in the folder.
        overwrite: Replace a run that stands there.
        report: Called with progress events.
        save_every: Steps or minutes between checkpoints within an epoch.

    Returns:
        The run's row of the comparison table.
    """
    Saver.parse(save_every)
    check_before_data(run)
    run = anchor(resolve_teacher(resolve_imagenet(run)))
    require_memory(run)
    path = output or new_output(run)
    refuse_own_weights(run, path)
    with starting(path, overwrite=overwrite) as (folder, lock):
        job: Job = {"command": command, "save_every": save_every, "is_resumed": False}
        return train_in_worker(run, folder, lock, report, job)


def refuse_own_weights(run: RunSpec, path: Path) -> None:
    """Refuse to replace the run whose weights this one needs.

    Raises:
        UsageError: The source or the initial weights lie in the run's own folder.
    """
    needed = {
        "teacher": run.teacher.weights if run.teacher else None,
        "weights": run.initial_weights,
    }
    for option, file in needed.items():
        if file is not None and Path(file).resolve().is_relative_to(path.resolve()):
            raise UsageError(
                f"received --{option} {file!r} with the output {str(path)!r}, which holds it and "
                "would be replaced; allowed is another folder: name one with --output"
            )


def resume_run(
    path: Path,
    *,
    command: str,
    report: Report,
    save_every: str = DEFAULT_SAVE_EVERY,
    data: str | None = None,
) -> dict[str, Any]:
    """Go on with the run of a folder; a finished one only gives its row.

    Args:
        path: Run folder.
        command: The command line, kept in the folder.
        report: Called with progress events.
        save_every: Steps or minutes between checkpoints within an epoch.
        data: Where the run's data lies now; none: where it lay.

    Raises:
        UsageError: No run has begun there, it is damaged, or another process holds it.
    """
    folder = RunFolder(path)
    Saver.parse(save_every)
    if not (path / "run.json").is_file():
        raise UsageError(
            f"received --resume {str(path)!r}, where no run has begun (there is no run.json); "
            "allowed is a run folder: name one, or start the run again with --output"
        )
    record = folder.read_run()
    run = RunSpec.parse(record.get("run", {}), "")
    if record.get("status") == "finished":
        report({"event": "note", "text": f"The run of {path} had finished: this is its row."})
        return folder.read_summary() | {"folder": str(path)}
    check_continuation(run, f"--resume {str(path)!r}", record.get("format"))
    folder.read_checkpoint()
    located = RunRecord(path, record).locate(data)
    run = run.replace(data={**run.data.model_dump(mode="json"), "source": located})
    require_teacher(run)
    with hold_lock(path) as lock:
        job: Job = {"command": command, "save_every": save_every, "is_resumed": True}
        return train_in_worker(run, folder, lock, report, job)


def train_in_worker(
    run: RunSpec, folder: RunFolder, lock: int, report: Report, job: Job
) -> dict[str, Any]:
    """Call `train` in a worker that holds the lock as well.

    Raises:
        WorkerCrashed: With what memory may have to do with it; a run that has begun is marked.
    """
    neighbours = describe_neighbours(run.backend)
    WorkCount(report, f"starting {run.backend}")
    evidence = MemoryEvidence.before()
    former, resolved = stamp(folder), [run]

    def watch(event: Event) -> None:
        if event["event"] == "resolved":
            resolved.append(RunSpec.parse(event["run"], ""))
            # Told once nothing is refused any more.
            if neighbours:
                report({"event": "note", "text": neighbours, "about": "load"})
        else:
            report(event)

    try:
        with Worker(run.backend, log=folder.log, report=watch, inherited=[lock]) as worker:
            row = worker.call(
                Operations.train,
                run=run.model_dump(mode="json"),
                folder=str(folder.path.resolve()),
                **job,
            )
    except WorkerCrashed as error:
        # Until it is replaced, `run.json` is that of a former run, which stays as it was.
        has_begun = job["is_resumed"] or stamp(folder) != former
        message = explain_crash(resolved[-1], folder, str(error), evidence, has_begun=has_begun)
        raise WorkerCrashed(message) from None
    return row | {"folder": str(folder.path)}


def explain_crash(
    run: RunSpec, folder: RunFolder, message: str, evidence: MemoryEvidence, *, has_begun: bool
) -> str:
    """What a dead worker left: its last words, what memory may have to do with it, how to go on."""
    with suppress(UsageError, OSError, KeyError):
        if has_begun and folder.read_checkpoint() is not None:
            message += f"\nGo on from its last checkpoint with `poc run --resume {folder.path}`."
        if about_memory := evidence.explain(run, message):
            message += f"\n{about_memory}"
        if has_begun:
            folder.mark("failed", error=message)
    return message


def new_output(run: RunSpec, root: Path = Path("runs")) -> Path:
    """A folder name that says what ran and that nothing has yet."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{run.method}-{run.model_spec.name}-{run.backend}"
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        if not (path := root / f"{stem}{suffix}").exists():
            return path
    raise RuntimeError(f"Received 999 runs called {stem} within one second.")
