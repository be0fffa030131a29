"""Runs that repeat another run in every answer: copied folders, or one seed trained again."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from poc.shared.errors import UsageError

from .reading import Problem, Run, read_runs


def read_distinct_runs(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    """Read the runs as `read_runs` does, but list copies among the problems."""
    runs, problems = read_runs(folders)
    distinct, copies = set_copies_aside(runs)
    return distinct, [*problems, *copies]


def read_finished_runs(folders: Sequence[Path]) -> tuple[list[Run], list[Problem]]:
    """Read the runs as `read_distinct_runs` does, and refuse to return none.

    Raises:
        UsageError: A folder is missing, or none of them holds a complete run.
    """
    runs, problems = read_distinct_runs(folders)
    if not runs:
        why = ""
        if problems:
            first = problems[0].reason.removeprefix("Got ")
            why = f" (the first of {len(problems)}: {first})"
        raise UsageError(
            f"Got {', '.join(str(folder) for folder in folders)} without a finished run{why}. "
            "Expected at least one finished run. Try run folders or the folder of a sweep."
        )
    return runs, problems


def set_copies_aside(runs: Sequence[Run]) -> tuple[list[Run], list[Problem]]:
    """Split runs into distinct ones and copies of these, which become problems."""
    known: dict[str, Run] = {}
    problems = []
    for run in runs:
        first = known.setdefault(identify(run), run)
        if first is not run:
            reason = (
                f"a copy of {first.name}: the same settings, seed, environment and answers, so it "
                "counts once"
            )
            problems.append(Problem(name=run.name, reason=reason))
    return list(known.values()), problems


def identify(run: Run) -> str:
    """Return a digest of a run's settings, data, environment and results."""
    record = run.record
    what = [record.run, record.data.model_dump(), record.environment]
    answers = run.predictions
    # A run without a test part has no answers; its epochs, with their times, identify it.
    come = run.epochs if answers is None else [answers.labels.tolist(), answers.ids.tolist()]
    digest = hashlib.sha256(json.dumps([what, come], sort_keys=True, default=str).encode())
    if answers is not None:
        digest.update(f"{answers.logits.dtype} {answers.logits.shape}".encode())
        digest.update(answers.logits.tobytes())
    return digest.hexdigest()
