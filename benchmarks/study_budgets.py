"""How a study spends its budget: the real search and finals, on simulated networks.

    python benchmarks/study_budgets.py --repeats 40 --budgets 3m,7m,30m

The candidates are the seven small nets of a study without weights, and their students. The accuracy
of a candidate's networks is its own, less what missing epochs cost; other settings than the
recipe's are two points worse (sd 2). Networks of one candidate, and of all, find the same images
hard (`study_quality.py` has the formula). A cell takes a second, and the candidate's seconds
times its share of the epochs, with 8 % scatter; in TensorFlow 1.6 times as long and a second more.
The seconds are about those of 200 to 1,000 images of Fashion-MNIST on one core.
"""

import argparse
import math
import statistics
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from scipy.special import ndtri

from poc.shared.actions.study.budget import read_budget
from poc.shared.actions.study.candidates import list_candidates
from poc.shared.actions.study.clock import Clock
from poc.shared.actions.study.finals import plan_finals, run_finals
from poc.shared.actions.study.jobs import Job, Outcome, Trial
from poc.shared.actions.study.ledger import open_ledger
from poc.shared.actions.study.recorded_cells import RecordedCells
from poc.shared.actions.study.search import Search, Searches
from poc.shared.data.protocol.protocol import choose_protocol
from poc.shared.data.protocol.question import Question
from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.splits.split import make_split
from poc.shared.spec.splits import SplitSpec

NUM_CLASSES = 10
LEVELS, SPREADS = (0.6, 0.75, 0.85), (0.01, 0.03, 0.06)
# Points of accuracy that a share of the epochs costs, times a candidate's factor of 0.5 to 1.5.
DROPS = {1.0: 0.0, 0.5: 0.01, 0.25: 0.03, 0.125: 0.07}
OTHER_SETTINGS, SETTINGS_DEVIATION = -0.02, 0.02
EASE_SHARE, EASE_CORRELATION, NETWORK_DEVIATION = 0.7, 0.8, 0.05
# Seconds of a cell with all epochs, by the start of the candidate's name.
SECONDS = {"lightlayers": 38.0, "small net of conv2d": 27.0, "small net of separable": 32.0}
IMPORT_SECONDS, BEFORE_SECONDS, SCATTER = 8.0, 3.0, 0.08
TF_RATIO, TF_SECONDS = 1.6, 1.0
RECIPE_RATE = 0.003
GOOD_REGRET = 0.01


class World:
    """Images, candidates of known accuracy, and networks that answer.

    Args:
        seed: Its seed.
        num_images: Images of a study.
    """

    def __init__(self, seed: int, num_images: int) -> None:
        self.seed, self.num_images = seed, num_images
        random = np.random.default_rng([seed, num_images])
        labels = np.arange(num_images) % NUM_CLASSES
        pixels = np.arange(num_images, dtype=np.uint32).view(np.uint8).reshape(num_images, 1, 4)
        self.source = ArraySource("simulated", {"all": (pixels, labels)}, is_partitioned=False)
        self.protocol = choose_protocol(self.source, Question())
        self.level, self.spread = random.choice(LEVELS), random.choice(SPREADS)
        self.common = random.standard_normal(num_images)
        self._parts: dict[SplitSpec, NDArray[np.int64]] = {}

    def draw(self, *marks: object) -> np.random.Generator:
        """Return random numbers that belong to some marks in this world."""
        return np.random.default_rng([self.seed, zlib.crc32(repr(marks).encode())])

    def accuracy(self, job: Job) -> float:
        """Return the true accuracy of a cell's networks."""
        name, proposal = job.candidate.name, job.proposal or {}
        random = self.draw("candidate", name)
        full = self.level + self.spread * random.standard_normal()
        share = min(DROPS, key=lambda share: abs(share - job.share))
        found = full - random.uniform(0.5, 1.5) * DROPS[share]
        if proposal.get("learning_rate") != RECIPE_RATE:
            settings = self.draw(name, sorted(proposal.items()))
            found += OTHER_SETTINGS + SETTINGS_DEVIATION * settings.standard_normal()
        return float(np.clip(found, 0.05, 0.99))

    def answers(self, job: Job) -> NDArray[np.bool_]:
        """Return which of all images (N,) a cell's network has right."""
        own = self.draw("ease", job.candidate.name).standard_normal(self.num_images)
        ease = math.sqrt(EASE_CORRELATION) * self.common + math.sqrt(1 - EASE_CORRELATION) * own
        random = self.draw("network", job.key)
        rest = random.standard_normal(self.num_images)
        within = math.sqrt(EASE_SHARE) * ease + math.sqrt(1 - EASE_SHARE) * rest
        network = NETWORK_DEVIATION * random.standard_normal()
        found: NDArray[np.bool_] = (
            ndtri(self.accuracy(job)) + network + math.sqrt(1 - NETWORK_DEVIATION**2) * within > 0
        )
        return found

    def validate(self, job: Job) -> float:
        """Return the share of right validation answers of a cell."""
        if job.split not in self._parts:
            self._parts[job.split] = make_split(self.source, job.split).val
        return float(self.answers(job)[self._parts[job.split]].mean())


class SimulatedRunner:
    """Runs cells on a clock of its own."""

    def __init__(self, world: World) -> None:
        self.world, self.seconds = world, BEFORE_SECONDS
        self._imported: set[str] = set()

    def count_work(self, job: Job) -> float:
        """Count the multiply-adds of a cell: in proportion to its time."""
        return 1e9 * find_seconds(job) * job.share

    def run(self, job: Job, limit_seconds: float) -> Outcome:
        """Run a cell."""
        start = 0.0 if job.backend in self._imported else IMPORT_SECONDS
        self._imported.add(job.backend)
        seconds = 1.0 + find_seconds(job) * job.share
        if job.backend == "tf":
            seconds = TF_RATIO * seconds + TF_SECONDS
        scatter = self.world.draw("seconds", job.key).standard_normal()
        seconds = start + seconds * math.exp(SCATTER * scatter)
        free = start if job.phase == "search" else 0.0
        if seconds - free > limit_seconds:
            self.seconds += free + limit_seconds
            return Outcome("stopped", limit_seconds, error=f"stopped after {limit_seconds:.0f} s")
        self.seconds += seconds
        accuracy = self.world.validate(job)
        return Outcome("finished", seconds, accuracy, 1 - accuracy, start_seconds=start)


def find_seconds(job: Job) -> float:
    """Return the seconds of a cell with all epochs."""
    return next(value for start, value in SECONDS.items() if job.candidate.name.startswith(start))


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study that has ended; accuracies are true ones.

    Attributes:
        regret: Accuracy of the best candidate minus that of the recommended one.
        accuracy: That of the recommended candidate.
        num_finalists: Candidates that were tested.
        has_both: Both frameworks tested a candidate.
        used: Share of the budget that the cells took.
    """

    regret: float
    accuracy: float
    num_finalists: int
    has_both: bool
    used: float


def run_study(world: World, budget_seconds: float, folder: Path) -> Study:
    """Search, test the finalists, and recommend the one with the most right validation answers."""
    runner = SimulatedRunner(world)
    clock = Clock(budget_seconds, began=0.0, read=lambda: runner.seconds)
    candidates = list_candidates([], ["lightlayers", "scratch"])
    num_val = len(make_split(world.source, world.protocol.cells[0].search_split).val)
    with open_ledger(folder, {"data": "simulated"}) as ledger:
        cells = RecordedCells(ledger, clock, runner)
        search = Searches(
            [Search(candidates, world.protocol, cells, "torch", num_val, has_students=True)]
        )
        search.run()
        ranked = search.ranked()
        plan = plan_finals(ranked, ("torch", "tf"), world.protocol, cells.costs, clock)
        ended = run_finals(plan, world.protocol, cells)
    return decide(world, ranked, ended, runner.seconds / budget_seconds)


def decide(world: World, ranked: Sequence[Trial], ended: Sequence[Trial], used: float) -> Study:
    """Recommend a candidate, and compare it with the best one.

    A candidate that was not tested is judged by its best network of the search.
    """
    rows: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for trial in ended:
        if trial.job.phase == "finals" and trial.outcome.is_finished:
            rows[trial.job.candidate.name, trial.job.backend].append(trial.job)
    most = max(map(len, rows.values()))
    scores: dict[str, list[float]] = defaultdict(list)
    truth = {trial.job.candidate.name: world.accuracy(trial.job) for trial in ranked}
    for (name, _), jobs in rows.items():
        if len(jobs) == most:
            scores[name] += map(world.validate, jobs)
            truth[name] = world.accuracy(jobs[0])
    chosen = max(scores, key=lambda name: statistics.fmean(scores[name]))
    return Study(
        regret=max(truth.values()) - truth[chosen],
        accuracy=truth[chosen],
        num_finalists=len(scores),
        has_both=len({framework for _, framework in rows}) > 1,
        used=used,
    )


def main() -> None:
    """Print a row for each number of images and budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--budgets", default="3m,7m,30m")
    parser.add_argument("--images", default="200,500,1000")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| images | budget | within a point | regret, points | true accuracy | ", end="")
    print("tested candidates | frameworks compared | budget used |")
    print("|--:" * 8 + "|")
    for num_images in map(int, arguments.images.split(",")):
        for budget in arguments.budgets.split(","):
            with tempfile.TemporaryDirectory() as folder:
                found = [
                    run_study(
                        World(seed, num_images), read_budget(budget), Path(folder) / f"{seed}"
                    )
                    for seed in range(arguments.repeats)
                ]
            print(f"| {num_images:,} | {budget} | {describe(found)} |", flush=True)


def describe(found: Sequence[Study]) -> str:
    """Return the means over some studies, as columns of the table."""
    within = statistics.fmean(study.regret <= GOOD_REGRET for study in found)
    columns = [
        f"{within:.2f}",
        f"{100 * statistics.fmean(study.regret for study in found):.1f}",
        f"{statistics.fmean(study.accuracy for study in found):.3f}",
        f"{statistics.fmean(study.num_finalists for study in found):.1f}",
        f"{statistics.fmean(study.has_both for study in found):.2f}",
        f"{statistics.fmean(study.used for study in found):.2f}",
    ]
    return " | ".join(columns)


if __name__ == "__main__":
    main()
