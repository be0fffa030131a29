"""Progress of a training loop. A resume needs it, the weights and the trainer's state."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from poc.shared.spec.training.stopping import EarlyStoppingSpec


@dataclass
class LoopState:
    """The progress of a run, without tensors.

    Attributes:
        epoch: The running epoch, or the last finished one; counted from 1.
        step: Steps done, over all epochs.
        is_in_epoch: True if `epoch` has begun and has no metrics line yet.
        rate_factor: Product of the factors by which plateaus have reduced the learning rate.
        best_epoch: The epoch of `best_score`; 0 before the first one.
        best_score: Highest score so far.
        epochs_without_improvement: Count for early stopping.
        epochs_since_reduction: Count for the plateau rule.
        seconds: Times measured once (`build`, `first_step`), and times added up over resumes
            (`before`: earlier processes; `train`: the running epoch).
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
        """Return the running epoch, or the one to begin."""
        return self.epoch + (not self.is_in_epoch)

    def has_lost_patience(self, patience: int | None) -> bool:
        """Tell if `patience` epochs in a row were no better than the best."""
        is_over = patience is not None and not self.is_in_epoch
        return is_over and self.epochs_without_improvement >= (patience or 0)

    def judge(self, metrics: Mapping[str, float], stopping: EarlyStoppingSpec) -> bool:
        """Tell if this epoch is the best; count patience, reduce the rate on a plateau."""
        score = selection_score(metrics, stopping.metric)
        # Without a validation part the score is infinite, and the latest epoch is the best. The
        # first epoch is taken even with a NaN: a run needs weights that count.
        if score > self.best_score or score == math.inf or self.best_epoch == 0:
            self.best_score, self.best_epoch = score, self.epoch
            self.epochs_without_improvement = self.epochs_since_reduction = 0
            return True
        self.epochs_without_improvement += 1
        self.epochs_since_reduction += 1
        if stopping.reduce_patience and self.epochs_since_reduction >= stopping.reduce_patience:
            # A factor and not a rate, since the schedule goes on underneath.
            self.rate_factor *= stopping.reduce_factor
            self.epochs_since_reduction = 0
        return False


@dataclass
class Sums:
    """Sums over an epoch of the metrics that a backend gives as means over parts of it.

    Attributes:
        steps: Steps of the epoch that the totals cover.
        totals: Name of the metric -> sum over examples.
        weight: Number of examples in the totals.
    """

    steps: int = 0
    totals: dict[str, float] = field(default_factory=dict)
    weight: float = 0.0

    def add(self, metrics: Mapping[str, float], steps: int) -> None:
        """Add the backend's means since the last call; `steps` is the epoch's count so far."""
        self.steps = steps
        # Weighted by examples: the last batch of an epoch may be smaller than the others.
        weight = metrics.get("count", 0.0)
        for name, value in metrics.items():
            if name != "count":
                self.totals[name] = self.totals.get(name, 0.0) + value * weight
        self.weight += weight

    def means(self) -> dict[str, float]:
        """Return name -> mean over all examples."""
        return {name: total / max(self.weight, 1.0) for name, total in self.totals.items()}


def selection_score(metrics: Mapping[str, float], metric: str) -> float:
    """Return a score to maximise; it is infinite if there is no validation part."""
    if metric not in metrics:
        return math.inf
    score = -metrics[metric] if metric.endswith("loss") else metrics[metric]
    # A NaN compares false with everything: as the best score it would never be beaten.
    return -math.inf if math.isnan(score) else float(score)
