"""Batches that make one update together, as pure functions of the step.

A step is one batch. An update moves the weights; it comes after every `accumulation_steps` batches
and after the last batch of an epoch, whose group may be smaller. Both count from 0 over the run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from poc.shared.shown_names import say


@dataclass(frozen=True)
class GroupPart:
    """A batch as a part of its group.

    Attributes:
        share: Its share of the group's examples. The group's mean loss is the sum of its batches'
            mean losses, each times its share, also if their sizes differ.
        first: Number of examples of the group in the batches before it.
        is_last: The update follows this batch.
    """

    share: float
    first: int
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """The batches of every epoch in groups.

    Attributes:
        sizes: Number of examples of each batch of an epoch.
        accumulation_steps: Number of batches of a full group.
    """

    sizes: Sequence[int]
    accumulation_steps: int

    @property
    def num_updates(self) -> int:
        """Return the number of updates of an epoch."""
        return math.ceil(len(self.sizes) / self.accumulation_steps)

    def update_of(self, step: int) -> int:
        """Return the index of the update to which a step belongs."""
        epoch, position = divmod(step, len(self.sizes))
        return epoch * self.num_updates + position // self.accumulation_steps

    def group_of(self, position: int) -> range:
        """Return the positions in the epoch of all batches in the group of one of them."""
        first = position - position % self.accumulation_steps
        return range(first, min(first + self.accumulation_steps, len(self.sizes)))

    def part_of(self, step: int) -> GroupPart:
        """Return the part of a step's batch in its group."""
        position = step % len(self.sizes)
        group = self.group_of(position)
        sizes = [self.sizes[member] for member in group]
        before = sum(sizes[: position - group.start])
        share = self.sizes[position] / sum(sizes)
        return GroupPart(share=share, first=before, is_last=position == group[-1])


def describe_short_epoch(accumulation_steps: int, num_batches: int) -> str | None:
    """Write a sentence if an epoch has fewer batches than an update should; none otherwise."""
    if accumulation_steps <= num_batches:
        return None
    return (
        f"optimizer.accumulation_steps={accumulation_steps:,} is more than an epoch has "
        f"({say(num_batches, 'batch')}): an update ends with its epoch, so each epoch makes one "
        "update of all its batches."
    )


def batch_sizes(num_examples: int, batch_size: int, num_batches: int) -> tuple[int, ...]:
    """Return the number of examples of each batch of an epoch; the last one may be smaller."""
    last = num_examples - (num_batches - 1) * batch_size
    return (*[batch_size] * (num_batches - 1), last)
