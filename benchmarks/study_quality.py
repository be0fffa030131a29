"""How good and how honest the decisions of a study are.

    python benchmarks/study_quality.py --simulated                # all settings, a few minutes
    python benchmarks/study_quality.py --simulated --repeats 50   # a quick look
    python benchmarks/study_quality.py --real --data FOLDER --output FOLDER --budget 10m   # hours

`--real` is described in `study_cuts.py`; it may be stopped and called again.

A simulated study searches `NUM_SEARCHED` settings of known accuracy with one network each, promotes
the best `NUM_FINALISTS` by their validation answers, runs these in both frameworks over seeds (on a
holdout) or folds, and decides. The answer of a network m of settings c on image i is right where

    mu_c + b_c z_m + sqrt(1 - b_c^2) (sqrt(g) u_ci + sqrt(1 - g) e_mi) > 0

with standard normal z (the network), u (how easy the image is for the settings; `EASE_CORRELATION`
of it is common to all settings, and part of that to the images of a patient) and e. The accuracy is
exactly Phi(mu_c). The networks of both frameworks with one seed share half of z and of e. The
finalists are trained with other seeds than the search, as the protocol demands; on a holdout, three
networks of the search choose between them.
b is such that networks move the accuracy by a standard deviation between 0 and `MAX_DEVIATION` at
an accuracy of 0.8, one value per study, with a scatter between settings.
"""

import argparse
import math
import time
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from poc.benchmarks.study_cuts import Plan, print_table, run_studies
from poc.shared.analysis.study.deciding import decide
from poc.shared.analysis.study.decision import Decision
from poc.shared.analysis.study.results import Answers, FinalRun, Results, SearchRun
from poc.shared.data.protocol.protocol import FIRST_SEED, SEARCH_SEEDS

NUM_SEARCHED, NUM_FINALISTS, NUM_FOLDS = 12, 4, 5
FRAMEWORKS = ("tf", "torch")
EASE_SHARE, EASE_CORRELATION, COMMON_SHARE = 0.7, 0.8, 0.5
MAX_DEVIATION, ROW_SCATTER = 0.03, 0.4
GROUP_SHARE, GROUP_SIZE = 0.3, 8
LEVELS = (0.6, 0.75, 0.85, 0.93)
# Standard deviation of the accuracies of the settings, in units of sqrt(a (1 - a)) / 0.4.
SPREADS = (0.0, 0.01, 0.03, 0.08)
# Share of the candidates whose frameworks differ, and by how much at most.
DIFFERING, MAX_FRAMEWORK_GAP = 0.15, 0.04
GOOD_REGRET = 0.01


@dataclass(frozen=True)
class Setting:
    """One kind of study: `num_images` are the test images; `num_samples` seeds or repeats."""

    is_folds: bool
    num_images: int
    num_samples: int
    has_groups: bool = False

    @property
    def title(self) -> str:
        """Return the start of a row of the table."""
        kind = ("folds" if self.is_folds else "holdout") + ", patients" * self.has_groups
        return f"{kind} | {self.num_images:,} | {self.num_samples}"


SETTINGS = (
    *(Setting(False, images, 3) for images in (150, 500, 2000)),
    *(Setting(False, images, 5) for images in (150, 500, 2000)),
    Setting(False, 500, 1),
    *(Setting(True, images, 1) for images in (60, 150, 500)),
    *(Setting(True, images, 3) for images in (60, 150, 500)),
    Setting(False, 480, 3, has_groups=True),
    Setting(True, 160, 1, has_groups=True),
    Setting(True, 480, 3, has_groups=True),
)


class World:
    """Settings of known accuracy, images, and networks that answer them."""

    def __init__(self, random: np.random.Generator, setting: Setting) -> None:
        self.random = random
        # On a holdout, half as many validation images as test images.
        self.num_images = (
            setting.num_images * (1 if setting.is_folds else 3) // (1 if setting.is_folds else 2)
        )
        level, spread = random.choice(LEVELS), random.choice(SPREADS)
        self.is_equal = spread == 0.0
        unit = math.sqrt(level * (1 - level)) / 0.4
        means = np.clip(level + spread * unit * random.standard_normal(NUM_SEARCHED), 0.3, 0.99)
        gaps = random.uniform(-1, 1, NUM_SEARCHED) * MAX_FRAMEWORK_GAP * unit / 2
        gaps *= random.random(NUM_SEARCHED) < DIFFERING
        # (C, 2) accuracies of the settings in both frameworks.
        self.truth = np.clip(np.stack([means + gaps, means - gaps], axis=1), 0.3, 0.99)
        deviation = random.uniform(0, MAX_DEVIATION)
        scatter = np.exp(ROW_SCATTER * random.standard_normal(NUM_SEARCHED))
        middles = ndtri(means)
        slopes = np.exp(-(middles**2) / 2) / math.sqrt(2 * math.pi)
        self.shares = np.minimum(deviation * unit * scatter / slopes, 0.7)
        common = random.standard_normal(self.num_images)
        self.groups = None
        if setting.has_groups:
            self.groups = random.integers(0, self.num_images // GROUP_SIZE, self.num_images)
            patients = random.standard_normal(self.num_images // GROUP_SIZE)[self.groups]
            common = math.sqrt(GROUP_SHARE) * patients + math.sqrt(1 - GROUP_SHARE) * common
        own = random.standard_normal((NUM_SEARCHED, self.num_images))
        self.ease = math.sqrt(EASE_CORRELATION) * common + math.sqrt(1 - EASE_CORRELATION) * own

    def train(self, candidate: int) -> NDArray[np.bool_]:
        """Return the answers (2, n) of one network per framework, equal in seed, on all images."""
        share = self.shares[candidate]
        both = math.sqrt(COMMON_SHARE), math.sqrt(1 - COMMON_SHARE)
        draw = self.random.standard_normal
        network = both[0] * draw((1, 1)) + both[1] * draw((2, 1))
        rest = both[0] * draw((1, self.num_images)) + both[1] * draw((2, self.num_images))
        within = math.sqrt(EASE_SHARE) * self.ease[candidate] + math.sqrt(1 - EASE_SHARE) * rest
        middle = ndtri(self.truth[candidate])[:, None]
        hits: NDArray[np.bool_] = middle + share * network + math.sqrt(1 - share**2) * within > 0
        return hits


def draw_cells(
    world: World, setting: Setting
) -> list[tuple[int, int, NDArray[np.int64], NDArray[np.int64]]]:
    """Return (sample, fold, validation images, test images) of each cell."""
    everything = np.arange(world.num_images)
    if not setting.is_folds:
        test, val = everything[: setting.num_images], everything[setting.num_images :]
        if world.groups is not None:
            # No patient is on both sides.
            val = val[~np.isin(world.groups[val], world.groups[test])]
            val = val if len(val) > 20 else everything[setting.num_images :]
        return [(sample, 0, val, test) for sample in range(setting.num_samples)]
    cells = []
    for sample in range(setting.num_samples):
        units = everything if world.groups is None else world.groups
        names = world.random.permutation(np.unique(units))
        fold_of = dict(
            zip(names.tolist(), (np.arange(len(names)) % NUM_FOLDS).tolist(), strict=True)
        )
        folds = np.array([fold_of[unit] for unit in units.tolist()])
        for fold in range(NUM_FOLDS):
            rest = world.random.permutation(np.unique(units[folds != fold]))
            is_val = np.isin(units, rest[: len(rest) // 5])
            cells.append((sample, fold, everything[is_val], everything[folds == fold]))
    return cells


@dataclass
class Study:
    """A simulated study: its decision, and the truth."""

    decision: Decision
    world: World
    finalists: list[int]


def simulate_study(random: np.random.Generator, setting: Setting) -> Study:
    """Search, promote, run the finalists, decide."""
    world = World(random, setting)
    cells = draw_cells(world, setting)
    # PyTorch searches, by the validation part of the first cell alone.
    first_val = cells[0][2]
    searched = [world.train(candidate)[1, first_val] for candidate in range(NUM_SEARCHED)]
    scores = [hits.mean() for hits in searched]
    finalists = np.argsort(-np.array(scores), kind="stable")[:NUM_FINALISTS].tolist()
    names = np.array([f"image {index}" for index in range(world.num_images)])
    named = [(names[val].tolist(), names[test].tolist()) for _, _, val, test in cells]
    runs = []
    for candidate in finalists:
        for (sample, fold, val, test), (val_names, test_names) in zip(cells, named, strict=True):
            for framework, hits in zip(FRAMEWORKS, world.train(candidate), strict=True):
                runs.append(
                    FinalRun(
                        candidate=str(candidate),
                        framework=framework,
                        seed=FIRST_SEED + sample,
                        repeat=sample if setting.is_folds else 0,
                        fold=fold,
                        test=Answers(test_names, hits[test]),
                        validation=Answers(val_names, hits[val]),
                    )
                )
    search = [
        SearchRun(
            candidate=str(candidate),
            framework=FRAMEWORKS[1],
            seed=seed,
            validation=Answers(
                named[0][0],
                world.train(candidate)[1, first_val] if seed else searched[candidate],
            ),
        )
        for candidate in finalists
        for seed in SEARCH_SEEDS
        if not setting.is_folds
    ]
    groups = None
    if world.groups is not None:
        groups = dict(zip(names.tolist(), map(str, world.groups.tolist()), strict=True))
    results = Results(runs=runs, search=search, is_folds=setting.is_folds, groups=groups, costs={})
    return Study(decide(results), world, finalists)


@dataclass
class Counts:
    """Figures of many studies of one setting."""

    is_covered: list[bool] = field(default_factory=list)
    half_widths: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    regrets: list[float] = field(default_factory=list)
    num_claims: int = 0
    num_false_claims: int = 0
    has_false_claim: list[bool] = field(default_factory=list)
    has_false_of_equal: list[bool] = field(default_factory=list)

    def add(self, study: Study) -> None:
        """Count one study."""
        decision, truth = study.decision, study.world.truth
        chosen = decision.recommended
        own = truth[int(chosen.candidate), FRAMEWORKS.index(chosen.framework)]
        low, high = decision.interval
        self.is_covered.append(bool(low <= own <= high))
        self.half_widths.append((high - low) / 2)
        self.errors.append(decision.expected_accuracy - own)
        self.regrets.append(float(truth.max() - own))
        means = truth.mean(axis=1)
        false = [
            means[int(claim.better)] <= means[int(claim.worse)] + 1e-12
            for claim in decision.better_than
        ]
        for verdict in decision.frameworks:
            if verdict.better is not None:
                sides = truth[int(verdict.candidate)]
                better = FRAMEWORKS.index(verdict.better)
                false.append(sides[better] <= sides[1 - better] + 1e-12)
        self.num_claims += len(false)
        self.num_false_claims += sum(map(bool, false))
        self.has_false_claim.append(any(false))
        if study.world.is_equal:
            self.has_false_of_equal.append(any(false))

    def merge(self, other: "Counts") -> None:
        """Add the studies of another setting."""
        for item in fields(self):
            if isinstance(own := getattr(self, item.name), list):
                own.extend(getattr(other, item.name))
        self.num_claims += other.num_claims
        self.num_false_claims += other.num_false_claims

    def row(self, title: str) -> str:
        """Return a row of the table."""
        regrets = np.array(self.regrets)
        share = self.num_false_claims / self.num_claims if self.num_claims else 0.0
        return (
            f"| {title} | {np.mean(self.is_covered):.3f} | "
            f"{100 * np.median(self.half_widths):.1f} | {100 * np.mean(self.errors):+.2f} | "
            f"{np.mean(self.has_false_claim):.3f} | {np.mean(self.has_false_of_equal):.3f} | "
            f"{self.num_claims / len(regrets):.2f} | {share:.3f} | {100 * regrets.mean():.2f} | "
            f"{np.mean(regrets <= GOOD_REGRET):.2f} |"
        )


HEADER = (
    "| study | test images | seeds or repeats | coverage | half-width | error | false studies | "
    "of equals | claims | false share | regret | within a point |"
)


def print_simulated(repeats: int, seed: int) -> None:
    """Print a row per setting, and one over all."""
    print(HEADER)
    print("|--|" + "--:|" * 11)
    overall = Counts()
    for setting in SETTINGS:
        counts = Counts()
        for index in range(repeats):
            random = np.random.default_rng([seed, SETTINGS.index(setting), index])
            counts.add(simulate_study(random, setting))
        print(counts.row(setting.title), flush=True)
        overall.merge(counts)
    print(overall.row("all | | "))


def run_real(arguments: argparse.Namespace) -> None:
    """Run the real studies, and print their table."""
    plan = Plan(
        data=arguments.data.resolve(),
        output=arguments.output.resolve(),
        budget=arguments.budget,
        num_studies=arguments.studies,
        part=arguments.part,
        options=arguments.option,
        num_networks=arguments.networks,
    )
    run_studies(plan)
    print_table(plan.output)


def read_part(text: str) -> tuple[int, int]:
    """Read the index of a call and the number of calls from text such as 0/2."""
    index, _, number = text.partition("/")
    part = int(index), int(number)
    if not 0 <= part[0] < part[1]:
        raise ValueError(text)
    return part


def main() -> None:
    """Print the chosen table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--simulated", action="store_true", help="simulated tables of results")
    kind.add_argument("--real", action="store_true", help="30 studies on cuts of Fashion-MNIST")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    real = parser.add_argument_group("real studies")
    real.add_argument("--data", type=Path, help="folder of Fashion-MNIST's IDX files")
    real.add_argument("--output", type=Path, help="folder of the studies")
    real.add_argument("--budget", default="10m", help="of each study; default: 10m")
    real.add_argument("--studies", type=int, default=30, help="default: 30")
    real.add_argument(
        "--part", type=read_part, default=(0, 1), help="of calls, as 0/2; default: 0/1"
    )
    real.add_argument("--networks", type=int, default=3, help="judged networks per row; default: 3")
    real.add_argument("--option", action="append", default=[], help="as --option=--methods=knn")
    arguments = parser.parse_args()
    if arguments.real:
        if arguments.data is None or arguments.output is None:
            parser.error("--real needs --data and --output")
        run_real(arguments)
        return
    started = time.perf_counter()
    print_simulated(arguments.repeats, arguments.seed)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
