"""Tables of a study's results, from which its decision is made; no run folder is read here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.shown_names import say

from .costs import Cost
from .limits import NO_LIMITS, Limits


class Answers(NamedTuple):
    """Answers on some images: ids (n,), and hits (n,), true where the answer is right."""

    ids: Sequence[str]
    hits: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class FinalRun:
    """A run of a finalist, tested once.

    Attributes:
        candidate: Name of its settings, without framework, seed and split.
        framework: `tf` or `torch`.
        seed: Seed of the run.
        repeat: Repetition of the folds; 0 on a holdout.
        fold: Fold that tested; 0 on a holdout.
        test: Its answers on the test images.
        validation: Its answers on the validation images.
        folder: Run folder, for a reader who wants to use the run.
    """

    candidate: str
    framework: str
    seed: int = 0
    repeat: int = 0
    fold: int = 0
    test: Answers
    validation: Answers
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class SearchRun:
    """A run of the search on a holdout, without test images.

    Attributes:
        candidate: Name of the settings, as in `FinalRun`.
        framework: `tf` or `torch`.
        seed: Seed of the run, which no final run has.
        validation: Its answers on the validation images.
    """

    candidate: str
    framework: str
    seed: int
    validation: Answers


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """Test answers of the recommended settings, trained on a share of the images.

    `answers` are one per seed, all on the same images; `num_images` is the size of the train part.
    """

    share: float
    num_images: int
    answers: Sequence[Answers]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Results of a study.

    Attributes:
        runs: Runs of all finalists.
        search: Runs of the search of all finalists, on which a holdout chooses; with folds, and if
            there are none, the validation answers of the final runs choose.
        is_folds: Each image is tested once per repeat; otherwise on one holdout.
        groups: Id -> its group, such as a patient; None without groups.
        deterministic: Candidates that another seed leaves unchanged, such as nearest neighbours.
        costs: (candidate, framework) -> measured cost.
        learning: Points of a learning curve, the largest share last; empty without one.
        smallest_difference: Difference of accuracies worth knowing, as a fraction.
        limits: Limits that the recommended row must keep.
        not_trained: Candidates that a limit left out before any training.
    """

    runs: Sequence[FinalRun]
    search: Sequence[SearchRun] = ()
    is_folds: bool = False
    groups: Mapping[str, str] | None = None
    deterministic: frozenset[str] = frozenset()
    costs: Mapping[tuple[str, str], Cost]
    learning: Sequence[LearningPoint] = ()
    smallest_difference: float = 0.05
    limits: Limits = NO_LIMITS
    not_trained: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_runs(self.runs)
        check_search(self.search, self.runs)


def check_runs(runs: Sequence[FinalRun]) -> None:
    """Refuse no runs, a run that is there twice, and validation on images of its own test.

    Raises:
        UsageError: See above.
    """
    if not runs:
        raise UsageError("Got a study without a finished run. Expected one. Try a longer budget.")
    seen: set[tuple[str, str, int, int, int]] = set()
    for run in runs:
        key = (run.candidate, run.framework, run.seed, run.repeat, run.fold)
        name = f"{run.candidate} in {run.framework} with seed {run.seed}, fold {run.fold}"
        if key in seen:
            raise UsageError(
                f"Got two runs of {name}. Expected one, since test images are read once. Try "
                "removing one of them."
            )
        seen.add(key)
        if not len(run.test.ids) or not len(run.validation.ids):
            raise UsageError(
                f"Got {name} without test or validation answers. Expected both, since a study "
                "chooses on validation images and judges on test images. Try running it again."
            )
        if shared := set(run.test.ids) & set(run.validation.ids):
            raise UsageError(
                f"Got {name}, which validates on {say(len(shared), 'test image')}, such as "
                f"{min(shared)!r}. Expected parts without common images. Try the protocol's splits."
            )


def check_search(search: Sequence[SearchRun], runs: Sequence[FinalRun]) -> None:
    """Refuse a search that shares its seeds or test images with the final runs, or lacks some.

    Raises:
        UsageError: See above.
    """
    if not search:
        return
    if seeds := {run.seed for run in search} & {run.seed for run in runs}:
        raise UsageError(
            f"Got the seed {min(seeds)} in the search and in a final run. Expected other seeds, "
            "since the search promotes lucky networks. Try seeds that the search did not use."
        )
    tested = {name for run in runs for name in run.test.ids}
    if shared := tested & {name for run in search for name in run.validation.ids}:
        raise UsageError(
            f"Got a search that validates on {say(len(shared), 'test image')}, such as "
            f"{min(shared)!r}. Expected parts without common images. Try the protocol's splits."
        )
    finals = {(run.candidate, run.framework) for run in runs}
    missing = {name for name, _ in finals} - {run.candidate for run in search}
    unknown = {(run.candidate, run.framework) for run in search} - finals
    if missing or unknown:
        name = min(missing) if missing else " in ".join(min(unknown))
        raise UsageError(
            f"Got {name} either in the search or in the final runs. Expected it in both. Try "
            "leaving it out."
        )
