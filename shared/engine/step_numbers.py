"""Numbers that come with a batch: its part in an update, and the share that the average takes.

They are computed here, once for both backends, and travel with the extras of the step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from poc.shared.data.batches.shard import WHOLE, Shard
from poc.shared.files.arrays import Array, Arrays
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.training.accumulation import Grouping, GroupPart
from poc.shared.spec.training.averaging import average_share

from .numerics.noise import Noise
from .ranks.parts import draw_part, share_numbers
from .teacher import COEFFICIENT_PREFIX

# The share of this batch in the examples of its update: a factor of its mean loss.
GROUP_SHARE = f"{COEFFICIENT_PREFIX}group_share"
# 1 if the update follows this batch, 0 if more batches of its group come first.
GROUP_END = f"{COEFFICIENT_PREFIX}group_end"
# The share of the weights after the update in their average.
AVERAGE_SHARE = f"{COEFFICIENT_PREFIX}average_share"
# Before the name of a parameter, in a trainer's state: its average, and its gradient so far.
AVERAGE_PREFIX, GRADIENT_PREFIX = "average/", "gradient/"


def step_numbers(run: ResolvedRun, part: GroupPart, update: int) -> Arrays:
    """Return the numbers of a step, each as an array of shape (); none for a plain update.

    Args:
        run: The run, at a stage.
        part: The part of the step's batch in its update.
        update: Index of the update in its stage, from 0.
    """
    numbers: dict[str, float] = {}
    if run.spec.optimizer.accumulation_steps > 1:
        numbers |= {GROUP_SHARE: part.share, GROUP_END: float(part.is_last)}
    if run.spec.ema.decay is not None:
        numbers[AVERAGE_SHARE] = average_share(run.spec.ema, update)
    return {name: np.asarray(value) for name, value in numbers.items()}


def group_batches(run: ResolvedRun, sizes: Sequence[int]) -> Grouping:
    """Group batches of these sizes, taken one after the other, as the run's updates do."""
    steps = run.spec.optimizer.accumulation_steps
    return Grouping(sizes=sizes, accumulation_steps=steps)


def inputs_of_step(
    run: ResolvedRun, grouping: Grouping, step: int, shard: Shard = WHOLE
) -> tuple[Noise, Arrays]:
    """Return a rank's masks (N, …) of a step and its numbers (), by its place in its update."""
    part, update = grouping.part_of(step), grouping.update_of(step)
    size = grouping.sizes[step % len(grouping.sizes)]
    network, seed = run.trained_network, run.spec.seed
    noise = draw_part(network, shard, size, seed=seed, step=update, first=part.first)
    return noise, step_numbers(run, part, update) | share_numbers(size, shard)


@dataclass(frozen=True, kw_only=True)
class StepNumbers:
    """The numbers that the host reads, since they choose what runs and not only what it computes.

    Attributes:
        is_update: The weights move after this batch.
        average_share: Share of the new weights in their average; None if there is no average.
    """

    is_update: bool = True
    average_share: float | None = None


def take_numbers(extras: Mapping[str, Array]) -> tuple[StepNumbers, dict[str, Array]]:
    """Return the numbers that the host reads, and the other extras (…) and scalars ()."""
    others = dict(extras)
    end, share = others.pop(GROUP_END, None), others.pop(AVERAGE_SHARE, None)
    numbers = StepNumbers(
        is_update=end is None or bool(end),
        average_share=None if share is None else float(share),
    )
    return numbers, others
