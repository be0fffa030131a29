"""The weights that are judged and kept: those of the training, or their average.

Training goes on from its own weights. Their average is put into the trainer for an evaluation
alone, and is what a stage hands on to the next one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.run import RunSpec

from .norm_statistics import settle_norms
from .stage import StageSteps


def describe_judged(run: RunSpec) -> dict[str, str]:
    """Return `judged_weights: averaged` if the run judges averages, or else nothing."""
    return {} if run.ema.decay is None else {"judged_weights": "averaged"}


@contextmanager
def judged(steps: StageSteps) -> Iterator[Weights]:
    """Make the trainer evaluate what is judged, with batch-norm statistics as the run wants them.

    Yields:
        The averages as canonical `Weights`, with their own statistics; {} if the run keeps none.
    """
    trainer, pipeline = steps.trainer, steps.data.train_as_evaluated
    settle_norms(trainer, steps.network, pipeline)
    averages = trainer.averages()
    if not averages:
        yield {}
        return
    own = copied(trainer.weights())
    trainer.load({**own, **averages})
    try:
        settle_norms(trainer, steps.network, pipeline)
        yield copied(trainer.weights(averages.keys()))
    finally:
        # Also if the evaluation is interrupted: a checkpoint has the training's own weights.
        trainer.load(own)


def handed_on(steps: StageSteps) -> Weights:
    """Return the `Weights` that a stage leaves to the next one: the judged ones."""
    weights = steps.trainer.weights()
    if not steps.trainer.averages():
        return weights
    with judged(steps) as averages:
        return {**copied(weights), **averages}


def copied(weights: Weights) -> Weights:
    """Return copies of the `Weights`, since the trainer goes on writing into the arrays."""
    return {name: np.array(value) for name, value in weights.items()}
