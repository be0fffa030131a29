"""Runs that repeat another one to the last answer: copied folders, or one seed run again."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from .reading import Problem, Run, read_runs


def read_distinct_runs(folders: Iterable[Path]) -> tuple[list[Run], list[Problem]]:
    """As `read_runs`, each run once."""
    runs, problems = read_runs(folders)
    distinct, copies = set_copies_aside(runs)
    return distinct, [*problems, *copies]


def set_copies_aside(runs: Sequence[Run]) -> tuple[list[Run], list[Problem]]:
    """The runs, each once, and those that only repeat one of them."""
    known: dict[str, Run] = {}
    problems = []
    for run in runs:
        first = known.setdefault(identify(run), run)
        if first is not run:
            reason = (
                f"a copy of {first.name}: the same settings, seed, environment and answers; it "
                "is counted once"
            )
            problems.append(Problem(name=run.name, reason=reason))
    return list(known.values()), problems


def identify(run: Run) -> str:
    """A digest of what was run, on what and where, and of what came out."""
    record = run.record
    what = [record.run, record.data.model_dump(), record.environment]
    answers = run.predictions
    # Without a test part the epochs speak for the run.
    come = run.epochs if answers is None else [answers.labels.tolist(), answers.ids.tolist()]
    digest = hashlib.sha256(json.dumps([what, come], sort_keys=True, default=str).encode())
    if answers is not None:
        digest.update(f"{answers.logits.dtype} {answers.logits.shape}".encode())
        digest.update(answers.logits.tobytes())
    return digest.hexdigest()
