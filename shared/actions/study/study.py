"""`poc study`: protocol, search, finals, decision and page, within a budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from poc.shared.analysis.study.decision import DECISION, Decision
from poc.shared.analysis.study.limits import NO_LIMITS, Limits
from poc.shared.analysis.study.page import SearchRow, StudyState, render_study
from poc.shared.analysis.study.sentences import NAMES
from poc.shared.data.protocol.protocol import Protocol, choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.sources.base import Source
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.split import make_split
from poc.shared.engine.launch.sweep_definition import Watch
from poc.shared.engine.worker.template import warm_starts
from poc.shared.errors import UsageError
from poc.shared.files.whole import write_bytes
from poc.shared.spec.run import BACKENDS

from .candidates import MAJORITY, Candidate, list_candidates
from .clock import Clock
from .finals import plan_finals, run_finals
from .jobs import Trial
from .ledger import open_ledger
from .outcome.collection import Beyond, keep_full
from .outcome.ending import Ending, check_formats
from .outcome.learning import is_smaller
from .outcome.sizes import leave_out_large
from .proposals import describe, import_optuna
from .recorded_cells import RecordedCells
from .search import Search
from .worker_cells import WorkerCells, count_train_images

# Nobody knows how many cells there will be; a framework is imported once for all of them.
MANY = 1_000_000
PAGE = "index.html"
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The user's wishes.

    Attributes:
        data: Text of the source, as for `--data`.
        budget_seconds: Wall-clock seconds of the study, all calls together.
        output: Its folder.
        weights: Weight files to start from.
        methods: Methods to try; none: all that the weights allow.
        frameworks: The first searches, the others confirm the finalists.
        question: Smallest difference worth knowing, groups, seeds.
        limits: Limits on size and latency that the recommended row must keep.
    """

    data: str
    budget_seconds: float
    output: Path
    weights: Sequence[str] = ()
    methods: Sequence[str] = ()
    frameworks: Sequence[str] = ("torch", "tf")
    question: Question = field(default_factory=Question)
    limits: Limits = NO_LIMITS

    def __post_init__(self) -> None:
        check_frameworks(self.frameworks)


def check_frameworks(frameworks: Sequence[str]) -> None:
    """Refuse unknown frameworks, none, and one that is named twice.

    Raises:
        UsageError: See above.
    """
    known = [name for name in frameworks if name in BACKENDS]
    if not known or len(set(known)) != len(frameworks):
        raise UsageError(
            f"Got --frameworks {','.join(frameworks)!r}. Expected torch, tf or both, the one that "
            "searches first. Try --frameworks torch,tf."
        )


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
        settings=describe(job.proposal),
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
    """
    clock = Clock(wish.budget_seconds, began)
    candidates = list_candidates(wish.weights, wish.methods)
    check_packages_and_files(wish, candidates)
    source = open_source(wish.data, note=tell)
    protocol = choose_protocol(source, wish.question)
    for sentence in protocol.sentences:
        tell(sentence)
    with open_ledger(wish.output, define(wish, source, candidates)) as ledger:
        page = Page(wish, protocol, command, clock)
        runner = WorkerCells(
            wish.output, wish.data, count_train_images(source, protocol), command, watch
        )

        def end_cell(trial: Trial, is_recorded: bool) -> None:
            if is_recorded:
                page.trials.append(trial)
                return
            page.add(trial)
            tell(describe_end(trial, clock))

        page.write()
        cells = RecordedCells(ledger, clock, runner, end_cell)
        split = make_split(source, protocol.cells[0].search_split)
        search = Search(candidates, protocol, cells, wish.frameworks[0], len(split.val))
        runner.check(search.list_first())
        for note in runner.notes:
            tell(note)
        large = leave_out_large(search, runner.make_run, wish.limits, tell)

        def publish(decision: Decision, missing: Sequence[str]) -> None:
            notes = [*warn(search, decision), *missing, *missing_views(runner.notes)]
            page.publish(decision, search.skipped, notes)

        with warm_starts(dict.fromkeys(BACKENDS, MANY)):
            search_and_test(wish, search)
            ending = Ending(source, protocol, cells, wish.output, tell, publish)
            return ending.run(Beyond(limits=wish.limits, not_trained=tuple(large)))


def search_and_test(wish: Wish, search: Search) -> None:
    """Run the search, then the finals, as far as the budget goes."""
    search.run()
    cells, protocol = search.cells, search.protocol
    plan = plan_finals(search.ranked(), wish.frameworks, protocol, cells.costs, cells.clock)
    run_finals(plan, protocol, cells)


def check_packages_and_files(wish: Wish, candidates: Sequence[Candidate]) -> None:
    """Refuse a weight file that is not there, and packages that would be missed after training.

    Raises:
        UsageError: See above.
    """
    if any(item.kind for item in candidates):
        import_optuna()
    check_formats(wish.frameworks, wish.limits)
    for path in wish.weights:
        if not Path(path).is_file():
            raise UsageError(
                f"Got --weights {path!r}, which does not exist. Expected a weight file. Try the "
                "path of one."
            )


def define(wish: Wish, source: Source, candidates: Sequence[Candidate]) -> dict[str, object]:
    """Return what makes a study the same one when it is called again; not its budget."""
    question = wish.question
    return {
        "data": wish.data,
        "num_images": len(source),
        "candidates": [[item.name, *item.settings] for item in candidates],
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


def describe_end(trial: Trial, clock: Clock) -> str:
    """Return one line about a cell that has ended."""
    job, outcome = trial
    result = f"validation accuracy {outcome.accuracy:.4f}"
    if not outcome.is_finished:
        result = f"{outcome.status}: {outcome.error}"
    return f"{clock.now:5.0f} s  {job.key}: {result}, {outcome.seconds:.1f} s"


def warn(search: Search, decision: Decision) -> list[str]:
    """Return sentences about what the budget or a failure left out."""
    found = []
    if decision.recommended.candidate == MAJORITY:
        found.append(
            "No tested candidate did better on validation images than naming the largest class."
        )
    late = [name for name, reason in search.skipped.items() if "time" in reason]
    if late:
        found.append(f"The budget was too short to try {len(late)} of the candidates.")
    protocol, ended = search.protocol, search.cells.ended
    finals = [
        trial.job
        for trial in ended
        if trial.job.phase == "finals" and trial.outcome.is_finished and not is_smaller(trial.job)
    ]
    full, ranked = keep_full(finals), search.ranked()
    tested = {job.candidate.name for job in full}
    rows = {(job.candidate.name, job.backend) for job in finals}
    rows -= {(job.candidate.name, job.backend) for job in full}
    if rows:
        names = ", ".join(f"{name} in {NAMES[backend]}" for name, backend in sorted(rows))
        found.append(f"Left out, since the time did not reach for all splits: {names}.")
    if len(ranked) > len(tested):
        found.append(
            f"Of {len(ranked)} candidates with a validation accuracy, {len(tested)} were tested: a "
            "longer budget tests more."
        )
    if decision.num_test_images < protocol.num_test_images:
        found.append(
            f"The time was over when {decision.num_test_images:,} of "
            f"{protocol.num_test_images:,} images were tested."
        )
    if len({job.backend for job in full}) == 1:
        name = NAMES[full[0].backend]
        found.append(f"All finalists ran in {name} alone, so the frameworks are not compared.")
    return found


def missing_views(notes: Sequence[str]) -> list[str]:
    """Return the notes about weights that do not say how images are prepared for them."""
    return [note for note in notes if "name no view" in note]
