"""The page of a study: the decision in plain words first, then what it rests on.

It is the page of `poc report` with other content, and is written again whenever a cell has ended.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from poc.shared.analysis.report.documents import Report, render_html
from poc.shared.analysis.tables.table import Table, drop_silent_columns
from poc.shared.analysis.verdicts.phrases import FRAMEWORKS

from .decision import CandidateRow, Decision
from .limits import write_milliseconds
from .pareto_picture import draw_pareto

METHOD = (
    "Each cell is an ordinary run, in a folder below search/ or finals/; `poc report` reads them.",
    "The search has no test images: its runs leave the test part out, and their records show it. "
    "Each network of the finals reads its test images once, after its training.",
    "The recommended candidate is the one with the most right validation answers. With folds, the "
    "expected accuracy is that of what the other folds would have chosen.",
    "Intervals hold for new images and for another seed. Holm's rule corrects all comparisons of "
    "candidates and of frameworks, so that at most one study in twenty makes a false claim among "
    "them. The sentence about more images has a test of its own.",
    "Trials of the search differ in settings that Optuna's TPE sampler proposes. Each round keeps "
    "the better half of the candidates and trains them for more of the recipe's epochs.",
    "Training times and memory are those of the runs of the finals. Other programs on the machine "
    "make the times longer.",
    "Latency is that of each row's network as a file of its own framework (PyTorch: ONNX Runtime, "
    "TensorFlow: the TFLite interpreter), on one thread. All files are timed in turn in one "
    "process; each figure is the median of its calls.",
)


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """A trial of the search as the page shows it."""

    candidate: str
    framework: str
    settings: str
    share: float
    status: str
    accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StudyState:
    """All that the page shows; `decision` is None while the study runs.

    Attributes:
        data: Text of the source.
        command: The command line.
        protocol: Sentences about the parts.
        budget_seconds: Budget.
        used_seconds: Seconds used so far.
        search: Trials in the order in which they ended.
        num_finals: Cells of the finals that have finished.
        warnings: Sentences about what is missing.
        skipped: Candidate -> why it has no result.
    """

    data: str
    command: str
    protocol: Sequence[str]
    budget_seconds: float
    used_seconds: float
    search: Sequence[SearchRow]
    num_finals: int
    warnings: Sequence[str] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    decision: Decision | None = None


def render_study(state: StudyState) -> str:
    """Render the page."""
    decision = state.decision
    pictures = [draw_pareto(decision)] if decision else []
    tables = [
        *([row_table(decision), *learning_tables(decision)] if decision else []),
        search_table(state.search),
        *([skipped_table(state.skipped)] if state.skipped else []),
    ]
    return render_html(
        Report(
            title=f"Study of {state.data}",
            command=state.command,
            written=time.strftime("%Y-%m-%d %H:%M:%S %z"),
            facts=list_facts(state),
            headline=list(list_headline(state)),
            findings=[*state.warnings, *state.protocol],
            overview=[picture for picture in pictures if picture],
            tables=tables,
            pictures=[],
            confusions=[],
            appendix=[],
            method=METHOD,
        )
    )


def list_headline(state: StudyState) -> Iterator[str]:
    """Yield the first screen: the decision, or how far the study is."""
    if state.decision is not None:
        yield from state.decision.sentences
        return
    yield "This study is not finished."
    done = [row for row in state.search if row.status == "finished"]
    if done:
        best = max(done, key=lambda row: row.accuracy)
        yield (
            f"Best on validation images so far: {best.candidate}, "
            f"{100 * best.accuracy:.1f} % of them right. No test image has been looked at for this."
        )


def list_facts(state: StudyState) -> dict[str, str]:
    """Return the few numbers at the head of the page."""
    facts = {
        "trials": str(len(state.search)),
        "final runs": str(state.num_finals),
        "time": f"{write_minutes(state.used_seconds)} of {write_minutes(state.budget_seconds)}",
    }
    if state.decision is not None:
        facts["test images"] = f"{state.decision.num_test_images:,}"
    return facts


def write_minutes(seconds: float) -> str:
    """Return `4.9 min`."""
    return f"{seconds / 60:.1f} min"


def row_table(decision: Decision) -> Table:
    """Tabulate the finalists, the most accurate first."""
    rows = sorted(decision.candidates, key=lambda row: -row.accuracy)
    columns = ["candidate", "framework", "test accuracy", "95 % interval", "weights, kB"]
    columns += ["file, kB", "1 image, ms", "64 images, ms", "training, s", "memory, MB"]
    return drop_silent_columns(
        Table(
            title="Finalists",
            columns=columns,
            rows=[describe_row(row) for row in rows],
            words=["framework"],
            note="Means over the runs of each row. The intervals are not corrected for the choice "
            "among rows; the one in the headline is. File and latency: of the network as a file of "
            "its framework, on one thread.",
        )
    )


def describe_row(row: CandidateRow) -> list[str]:
    """Return the cells of a finalist."""
    cost = row.cost
    return [
        row.candidate,
        FRAMEWORKS.get(row.framework, "-"),
        f"{row.accuracy:.4f}",
        "{:.4f} to {:.4f}".format(*row.interval),
        write_scaled(cost.weight_bytes, 1e-3),
        write_scaled(cost.file_bytes, 1e-3),
        write_latency(cost.latency_seconds),
        write_latency(cost.batch_latency_seconds),
        write_scaled(cost.training_seconds, 1.0),
        write_scaled(cost.memory_bytes, 1e-6),
    ]


def write_scaled(value: float | None, scale: float) -> str:
    """Return a number with one decimal, or a dash."""
    return "-" if value is None else f"{value * scale:,.1f}"


def write_latency(seconds: float | None) -> str:
    """Return milliseconds, or a dash."""
    return "-" if seconds is None else write_milliseconds(seconds)


def learning_tables(decision: Decision) -> list[Table]:
    """Tabulate the learning curve, if there is one."""
    curve = decision.learning_curve
    if curve is None:
        return []
    return [
        Table(
            title="Learning curve",
            columns=["training images", "test accuracy", "95 % interval"],
            rows=[
                [f"{num_images:,}", f"{accuracy:.4f}", f"{low:.4f} to {high:.4f}"]
                for num_images, accuracy, low, high in curve.points
            ],
            note="The recommended row, trained on a part of its images and tested on the same "
            "test images.",
        )
    ]


def search_table(rows: Sequence[SearchRow]) -> Table:
    """Tabulate the trials of the search in their order."""
    return Table(
        title="Search",
        columns=["candidate", "framework", "settings", "epochs", "validation accuracy", "seconds"],
        rows=[
            [
                row.candidate,
                FRAMEWORKS.get(row.framework, row.framework),
                row.settings,
                f"{100 * row.share:.0f} %",
                f"{row.accuracy:.4f}" if row.status == "finished" else row.status,
                f"{row.seconds:.1f}",
            ]
            for row in rows
        ],
        words=["framework", "settings"],
        note="Epochs: share of the recipe's. Seconds: of the complete cell, with the start of its "
        "process.",
    )


def skipped_table(skipped: Mapping[str, str]) -> Table:
    """Tabulate the candidates without a result."""
    return Table(
        title="Not tried, or not finished",
        columns=["candidate", "reason"],
        rows=[[name, reason] for name, reason in skipped.items()],
        words=["reason"],
    )
