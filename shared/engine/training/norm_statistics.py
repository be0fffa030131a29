"""Batch-norm statistics of the entire training part, instead of the running averages.

A running average with momentum 0.99 still holds 44 % of its initial value after an epoch of 82
steps, so a short run is evaluated with statistics that belong to no network. One pass over the
training part gives each batch norm the mean and variance of all its inputs, with the layers before
it normalised by their own batches (Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm",
section 3.2, https://arxiv.org/abs/2105.07576).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.pipeline import Pipeline
from poc.shared.engine.backend import Trainer
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers.elementwise import BatchNorm
from poc.shared.spec.networks.network import Network

Vector = NDArray[np.float64]


@dataclass
class Moments:
    """Count, mean (C,) and sum of squared deviations (C,) of the values seen so far."""

    count: int = 0
    mean: Vector = field(default_factory=lambda: np.zeros(1))
    deviations: Vector = field(default_factory=lambda: np.zeros(1))

    def add(self, count: int, mean: Vector, variance: Vector) -> None:
        """Add a batch of `count` values with mean (C,) and Bessel-corrected variance (C,).

        The update of Chan et al. 1979, which does not subtract two large sums of squares.
        """
        total = self.count + count
        shift = mean - self.mean
        # A single value has no deviation; its corrected variance is 0 / 0.
        within = variance * (count - 1) if count > 1 else np.zeros_like(mean)
        self.deviations = self.deviations + within + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    @property
    def variance(self) -> Vector:
        """Return the variance (C,), Bessel-corrected as running variances are."""
        return self.deviations / max(self.count - 1, 1)


def settle_norms(trainer: Trainer, network: Network, pipeline: Pipeline | None) -> None:
    """Replace the running statistics by those of the training part, if the run asks for it.

    Args:
        trainer: Trainer whose weights change.
        network: The network that it trains.
        pipeline: The training part with the view of evaluation; none: nothing is replaced.
    """
    statistics = estimate_statistics(trainer, network, pipeline) if pipeline else {}
    if statistics:
        trainer.load({**trainer.weights(), **statistics})


def estimate_statistics(trainer: Trainer, network: Network, pipeline: Pipeline) -> Weights:
    """Return mean (C,) and variance (C,) of each batch norm in use, by their canonical names.

    Frozen batch norms keep their statistics and are left out.

    Args:
        trainer: Holds the weights, and is not changed.
        network: The trainer's network.
        pipeline: The training part with the view of evaluation.
    """
    nodes = [
        node
        for node in network.needed([network.output])
        if isinstance(node.layer, BatchNorm) and node.uses_batch_statistics
    ]
    if not nodes:
        return {}
    moments = {node.name: Moments() for node in nodes}
    for batch in pipeline.epoch(0):
        found = trainer.norm_statistics(batch.images)
        for node in nodes:
            # Every position of a map is a value: (N, H, W, C) gives N * H * W of them.
            positions = int(np.prod(node.output_shape[:-1], dtype=np.int64))
            mean, variance = (
                # Summed in float64: float32 would lose digits over the many values of an epoch.
                np.asarray(found[f"{node.name}/{name}"], np.float64)
                for name in ("moving_mean", "moving_variance")
            )
            moments[node.name].add(len(batch.images) * positions, mean, variance)
    statistics: Weights = {}
    for name, known in moments.items():
        statistics[f"{name}/moving_mean"] = known.mean
        statistics[f"{name}/moving_variance"] = known.variance
    return statistics
