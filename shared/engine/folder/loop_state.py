"""Where a training loop stands: with weights and the trainer's state, all that it knows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from poc.shared.spec.training.stopping import EarlyStoppingSpec


@dataclass
class LoopState:
    """Everything about a run's progress that is no tensor.

    Attributes:
        epoch: The running epoch, or the last finished one; from 1.
        step: Steps done, over all epochs.
        is_in_epoch: Whether `epoch` has begun and has no metrics line yet.
        rate_factor: What plateaus have made of the learning rate.
        best_epoch: The epoch of `best_score`; 0: none yet.
        best_score: To be maximised.
        epochs_without_improvement: For early stopping.
        epochs_since_reduction: For the plateau rule.
        seconds: Measured once (`build`, `first_step`), or added up over resumes (`before`: of
            earlier processes; `train`: of the running epoch).
    """

    epoch: int = 0
    step: int = 0
    is_in_epoch: bool = False
    rate_factor: float = 1.0
    best_epoch: int = 0
    best_score: float = -math.inf
    epochs_without_improvement: int = 0
    epochs_since_reduction: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def next_epoch(self) -> int:
        """The running epoch, or the one to begin."""
        return self.epoch + (not self.is_in_epoch)

    def has_lost_patience(self, patience: int | None) -> bool:
        """Whether so many whole epochs were no better than the best; none: never."""
        is_over = patience is not None and not self.is_in_epoch
        return is_over and self.epochs_without_improvement >= (patience or 0)

    def judge(self, metrics: Mapping[str, float], stopping: EarlyStoppingSpec) -> bool:
        """Compare with the best epoch so far, count patience, reduce the rate on a plateau."""
        score = selection_score(metrics, stopping.metric)
        # Without a validation part the score is infinite, and the latest epoch is the best.
        if score > self.best_score or score == math.inf or self.best_epoch == 0:
            self.best_score, self.best_epoch = score, self.epoch
            self.epochs_without_improvement = self.epochs_since_reduction = 0
            return True
        self.epochs_without_improvement += 1
        self.epochs_since_reduction += 1
        if stopping.reduce_patience and self.epochs_since_reduction >= stopping.reduce_patience:
            self.rate_factor *= stopping.reduce_factor
            self.epochs_since_reduction = 0
        return False


@dataclass
class Sums:
    """Means of parts of an epoch, weighted by their examples, into means of the epoch.

    Attributes:
        steps: Steps of the epoch that the totals cover.
        totals: Name -> sum over examples.
        weight: Examples.
    """

    steps: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0

    def add(self, metrics: Mapping[str, float], steps: int) -> None:
        """Add what the backend gave since the last call; `steps` is the epoch's count so far."""
        self.steps = steps
        weight = metrics.get("count", 0.0)
        for name, value in metrics.items():
            if name != "count":
                self.totals[name] = self.totals.get(name, 0.0) + value * weight
        self.weight += weight

    def means(self) -> dict[str, float]:
        """Means over all examples."""
        return {name: total / max(self.weight, 1.0) for name, total in self.totals.items()}


def selection_score(metrics: Mapping[str, float], metric: str) -> float:
    """A number to maximise; without a validation part every epoch is better than the last."""
    if metric not in metrics:
        return math.inf
    score = -metrics[metric] if metric.endswith("loss") else metrics[metric]
    # A NaN compares false with everything: as the best score it would never be beaten.
    return -math.inf if math.isnan(score) else float(score)
