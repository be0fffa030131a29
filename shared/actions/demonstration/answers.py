"""Runs that stay open and answer one photo after the other, in each framework."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np

from poc.shared.actions.explanations.explain import (
    Explanation,
    Unreadable,
    Wish,
    explain_items,
)
from poc.shared.actions.explanations.networks import OpenNetwork, open_networks
from poc.shared.actions.explanations.plan import Plan, plan_explanations
from poc.shared.actions.new_images.given_images import Item
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.console.work_count import Report, unheard
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.errors import CheckFailed, UsageError

from .fragment import write_answers, write_problem
from .uploads import ADVICE, find_problem

# Two runs side by side fill the page, and each takes a process per framework.
MAX_RUNS = 2


@dataclass(frozen=True, kw_only=True)
class OpenRun:
    """A run whose networks are built and wait for photos.

    Attributes:
        name: The run's folder as the user gave it.
        plan: How its answers are explained.
        networks: Framework -> network.
    """

    name: str
    plan: Plan
    networks: Mapping[str, OpenNetwork]

    def explain(self, item: Item) -> Explanation | Unreadable:
        """Answer one photo in each framework, and explain the answer.

        Raises:
            CheckFailed: A map is not finite.
            WorkerCrashed: A framework's process has ended.
        """
        answering, method = self.plan.trained.answering, self.plan.method
        (found,) = explain_items(self.networks, answering, [item], method, report=unheard)
        return found


class Answers:
    """The open runs; one photo is answered at a time.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Sequence[OpenRun]) -> None:
        self.runs = runs
        self._lock = Lock()

    def warm_up(self) -> None:
        """Answer a black picture: what a framework does only once is then done.

        Raises:
            CheckFailed: The weights give no finite map.
        """
        for run in self.runs:
            pixels = np.zeros(run.plan.trained.answering.view.shape, dtype=np.uint8)
            run.explain(Item("black", pixels))

    def answer(self, path: Path) -> str:
        """Return the answers for a photo as HTML, or a sentence that says why there is none."""
        with self._lock:
            if problem := find_problem(path):
                return write_problem(f"{path.name} {problem}: {ADVICE}.")
            try:
                found = [run.explain(Item(path.name, path)) for run in self.runs]
            except (CheckFailed, UsageError) as error:
                return write_problem(f"{path.name} has no answer: {error}")
            except WorkerCrashed:
                return write_problem(
                    "A framework's process has ended: stop `poc demo`, and start it again."
                )
            shown: list[tuple[OpenRun, Explanation]] = []
            for run, one in zip(self.runs, found, strict=True):
                if isinstance(one, Unreadable):
                    return write_problem(f"{path.name} {one.problem}: {ADVICE}.")
                shown.append((run, one))
            return write_answers([(run.name, run.plan, one) for run, one in shown])


def plan_runs(
    folders: Sequence[Path], backend: str | None, checkpoint: str, note: Note
) -> list[Plan]:
    """Read the runs, and choose how they are explained.

    One run answers in each framework that is installed, from the same weights. Of two, each
    answers in its own framework.

    Args:
        folders: Run folders.
        backend: Framework to compute in; None: as above.
        checkpoint: File in `checkpoints`, without its ending.
        note: Called with each sentence for the user.

    Raises:
        UsageError: A folder is no trained run, or there are more than two.
    """
    if len(folders) > MAX_RUNS:
        raise UsageError(
            f"Got {len(folders)} runs. Expected one, or two to compare. Try leaving some out."
        )
    plans = []
    for folder in folders:
        plan = plan_run(folder, Wish(backend=backend, checkpoint=checkpoint), note)
        if backend is None and len(folders) > 1:
            plan = replace(plan, backends=(plan.trained.run.backend,))
        plans.append(plan)
    return plans


def plan_run(folder: Path, wish: Wish, note: Note) -> Plan:
    """Plan Grad-CAM, or occlusion for a network without a map.

    Raises:
        UsageError: The folder is no trained run.
    """
    try:
        return plan_explanations(folder, wish, note)
    except UsageError as error:
        if "has no map of several pixels" not in str(error):
            raise
        return plan_explanations(folder, replace(wish, method="occlusion"), note)


@contextmanager
def open_answers(
    folders: Sequence[Path], plans: Sequence[Plan], report: Report
) -> Iterator[Answers]:
    """Yield the runs with their networks built; the processes end with the block.

    Raises:
        CheckFailed: A run's weights give no finite map.
    """
    with ExitStack() as stack:
        runs = [
            OpenRun(
                name=str(folder),
                plan=plan,
                networks=stack.enter_context(open_networks(plan.trained, plan.backends, report)),
            )
            for folder, plan in zip(folders, plans, strict=True)
        ]
        answers = Answers(runs)
        answers.warm_up()
        yield answers
