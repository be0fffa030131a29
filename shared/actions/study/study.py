"""`poc study`: protocol, search, finals, decision and page, within a budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from poc.shared.actions.weights.foreign import locate_recognised
from poc.shared.analysis.study.decision import DECISION, Decision
from poc.shared.analysis.study.limits import NO_LIMITS, Limits
from poc.shared.analysis.study.page import SearchRow, StudyState, render_study
from poc.shared.data.protocol.protocol import Protocol, choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.sources.base import Source
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.split import make_split
from poc.shared.engine.launch.executors import Executor, LocalExecutor
from poc.shared.engine.launch.sweep_definition import Watch
from poc.shared.engine.worker.template import warm_starts
from poc.shared.files.collisions import digest_file
from poc.shared.files.whole import write_bytes
from poc.shared.spec.run import BACKENDS

from .budget import refuse_less
from .candidates import Candidate, check_files, has_students, list_candidates, list_weights
from .clock import Clock
from .finals import plan_finals, run_finals
from .jobs import Trial
from .ledger import open_ledger
from .outcome.collection import Beyond
from .outcome.ending import Ending, check_formats
from .outcome.learning import is_smaller
from .outcome.notes import advise_weights, describe_end, missing_views, warn
from .outcome.sizes import leave_out_large
from .proposals import describe, import_optuna
from .recorded_cells import RecordedCells
from .search import Search, Searches
from .searching.failures import refuse_failures
from .searching.frameworks import (
    check_frameworks,
    name_searching,
    name_tested,
    require_installed,
)
from .searching.resolutions import settle_sizes
from .worker_cells import WorkerCells, describe_images

# Nobody knows how many cells there will be; a framework is imported once for all of them.
MANY = 1_000_000
PAGE = "index.html"
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The user's wishes.

    Attributes:
        data: Text of the source, as for `--data`.
        budget_seconds: Wall-clock seconds of the study. After new work, cells that former calls
            recorded take no time again.
        output: Its folder.
        weights: Weight files to start from.
        methods: Methods to try; none: all that the weights allow.
        frameworks: The first searches, the others confirm the finalists; `both` alone: each
            searches, and tests its own finalists.
        question: Smallest difference worth knowing, groups, seeds.
        limits: Limits on size and latency that the recommended row must keep.
        executor: Place where the cells run.
    """

    data: str
    budget_seconds: float
    output: Path
    weights: Sequence[str] = ()
    methods: Sequence[str] = ()
    frameworks: Sequence[str] = ("torch", "tf")
    question: Question = field(default_factory=Question)
    limits: Limits = NO_LIMITS
    executor: Executor = field(default_factory=LocalExecutor)

    def __post_init__(self) -> None:
        check_frameworks(self.frameworks)


class Page:
    """Writes the page of a study whenever a cell has ended."""

    def __init__(self, wish: Wish, protocol: Protocol, command: str, clock: Clock) -> None:
        self._wish, self._protocol = wish, protocol
        self._command, self._clock = command, clock
        self.trials: list[Trial] = []
        self._decision: Decision | None = None
        self._skipped: Mapping[str, str] = {}
        self._warnings: Sequence[str] = ()

    def add(self, trial: Trial) -> None:
        """Take a cell that has ended, and write the page."""
        self.trials.append(trial)
        self.write()

    def publish(
        self, decision: Decision, skipped: Mapping[str, str], warnings: Sequence[str]
    ) -> None:
        """Write the decision, and the page with it; the page keeps it from now on."""
        self._decision, self._skipped, self._warnings = decision, skipped, warnings
        write_bytes(self._wish.output / DECISION, decision.to_json().encode())
        self.write()

    def write(self) -> None:
        """Write the page."""
        searches = [trial for trial in self.trials if trial.job.phase == "search"]
        finals = [
            trial
            for trial in self.trials
            if trial.job.phase == "finals" and not is_smaller(trial.job)
        ]
        state = StudyState(
            data=self._wish.data,
            command=self._command,
            protocol=self._protocol.sentences,
            budget_seconds=self._wish.budget_seconds,
            used_seconds=self._clock.used,
            search=[describe_trial(trial) for trial in searches],
            num_finals=sum(trial.outcome.is_finished for trial in finals),
            warnings=self._warnings,
            skipped=self._skipped,
            decision=self._decision,
        )
        page = render_study(state)
        write_bytes(self._wish.output / PAGE, page.encode("utf-8", errors="replace"))


def describe_trial(trial: Trial) -> SearchRow:
    """Return a trial as the page shows it."""
    job, outcome = trial
    return SearchRow(
        candidate=job.candidate.name,
        framework=job.backend,
        settings=describe(job.proposal, job.candidate.settings),
        share=job.share,
        status=outcome.status,
        accuracy=outcome.accuracy,
        seconds=outcome.seconds,
    )


def run_study(
    wish: Wish,
    *,
    command: str,
    began: float | None = None,
    tell: Tell = lambda text: None,
    watch: Watch = lambda cell, event: None,
) -> Decision:
    """Run a study, or continue it.

    Args:
        wish: The user's wishes.
        command: The command line, recorded in each run folder.
        began: Monotonic seconds when the command began; none: now.
        tell: Called with each sentence about the protocol and about a cell that has ended.
        watch: Called with a cell's name and an event of its training.

    Raises:
        UsageError: The data cannot be studied, an option is wrong, or the folder has other content.
        CheckFailed: All candidates that were tried have failed.
    """
    clock = Clock(wish.budget_seconds, began)
    left_out: dict[str, str] = {}
    check_options(wish)
    source = open_source(wish.data, note=tell)
    protocol = choose_protocol(source, wish.question)
    for sentence in (*protocol.sentences, *advise_weights(wish.weights)):
        tell(sentence)
    candidates = choose_candidates(wish, left_out, tell)
    with open_ledger(wish.output, define(wish, source, candidates)) as ledger:
        if (wish.output / DECISION).exists():
            refuse_less(wish.budget_seconds, ledger.budget_seconds)
        page = Page(wish, protocol, command, clock)
        images = describe_images(source, protocol)
        runner = WorkerCells(wish.output, wish.data, images, command, wish.executor, watch)

        def end_cell(trial: Trial, is_recorded: bool) -> None:
            if is_recorded:
                page.trials.append(trial)
                return
            page.add(trial)
            tell(describe_end(trial, clock))

        page.write()
        cells = RecordedCells(ledger, clock, runner, end_cell)
        search = make_search(wish, candidates, source, protocol, cells)
        runner.check(search.list_first())
        for note in runner.notes:
            tell(note)
        large = leave_out_large(search, runner.make_run, wish.limits, tell)

        def publish(decision: Decision, missing: Sequence[str]) -> None:
            notes = [*warn(search, decision), *missing, *missing_views(runner.notes)]
            notes += advise_weights(wish.weights)
            page.publish(decision, left_out | search.skipped, notes)

        with warm_starts(dict.fromkeys(BACKENDS, MANY)), wish.executor.held():
            search_and_test(wish, search)
            ending = Ending(source, protocol, cells, wish.output, tell, publish)
            return ending.run(Beyond(limits=wish.limits, not_trained=tuple(large)))


def check_options(wish: Wish) -> None:
    """Refuse options, and what they lack, before the images are read.

    Raises:
        UsageError: A method is unknown, a file, a framework or a library is missing.
    """
    candidates = list_candidates(wish.weights, wish.methods)
    if any(item.kind for item in candidates) or has_students(wish.methods):
        import_optuna()
    check_files(wish.weights)
    if isinstance(wish.executor, LocalExecutor):
        # A node of a cluster has its own.
        require_installed(wish.frameworks)
    check_formats(name_tested(wish.frameworks), wish.limits)


def choose_candidates(wish: Wish, left_out: dict[str, str], tell: Tell) -> list[Candidate]:
    """Return the candidates; weight files of other forms are converted for them.

    Args:
        wish: The user's wishes.
        left_out: Takes the name of each candidate that makes no sense here -> the reason.
        tell: Called with each remark about a conversion.

    Raises:
        UsageError: A weight file fits no model.
    """
    located = {path: locate_recognised(path, tell) for path in wish.weights}
    candidates = list_candidates(wish.weights, wish.methods, located)
    return list(settle_sizes(candidates, left_out))


def make_search(
    wish: Wish,
    candidates: Sequence[Candidate],
    source: Source,
    protocol: Protocol,
    cells: RecordedCells,
) -> Searches:
    """Make the search of each framework that searches."""
    num_val = len(make_split(source, protocol.cells[0].search_split).val)
    teaches, names = has_students(wish.methods), name_searching(wish.frameworks)
    return Searches(
        [
            Search(candidates, protocol, cells, name, num_val, teaches, num_searches=len(names))
            for name in names
        ]
    )


def search_and_test(wish: Wish, search: Searches) -> None:
    """Run the search, then the finals, as far as the budget goes.

    Raises:
        CheckFailed: No cell of a phase has a result, and one has failed.
    """
    search.run()
    cells, protocol = search.cells, search.protocol
    refuse_failures(cells.ended, "search")
    plan = plan_finals(
        search.ranked(), name_tested(wish.frameworks), protocol, cells.costs, cells.clock
    )
    run_finals(plan, protocol, cells)
    refuse_failures(cells.ended, "finals")


def define(wish: Wish, source: Source, candidates: Sequence[Candidate]) -> dict[str, object]:
    """Return what makes a study the same one when it is called again; not its budget."""
    question = wish.question
    return {
        "data": wish.data,
        "num_images": len(source),
        "images_and_labels": source.fingerprint,
        "candidates": [[item.name, *item.settings] for item in candidates],
        "weights": [digest_file(path) for path in list_weights(candidates)],
        "students": has_students(wish.methods),
        "frameworks": list(wish.frameworks),
        "question": {
            "smallest_difference": question.smallest_difference,
            "num_seeds": question.num_seeds,
            "num_repeats": question.num_repeats,
            "group_pattern": question.group_pattern,
            "split": question.split.model_dump(mode="json") if question.split else None,
            "seed": question.seed,
        },
        **({"limits": asdict(wish.limits)} if wish.limits.is_any else {}),
    }
