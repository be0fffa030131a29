"""The examples that an epoch draws, in their order: a pure function of (seed, epoch).

Uniform sampling draws each example once. Balanced sampling draws with replacement: each draw takes
a class, all with equal chance, and then one of its examples. An epoch has as many draws as the part
has examples either way.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from poc.shared.data.sources.base import Indices, Source
from poc.shared.errors import UsageError


class Draws(NamedTuple):
    """Examples as an epoch draws them.

    Attributes:
        positions: (N,) int64, positions of the examples in the part.
        repeats: (N,) int64, how often the epoch drew the same example before. It is part of the key
            of the random numbers, so that an example drawn twice looks different each time.
    """

    positions: Indices
    repeats: Indices

    def take(self, places: Indices | slice) -> "Draws":
        """Return the draws at these places: (k,) int64."""
        return Draws(self.positions[places], self.repeats[places])


@dataclass(frozen=True, eq=False)
class ClassMembers:
    """The examples of each class of a part.

    Attributes:
        positions: (k,) int64, all positions, those of one class together.
        counts: (num_classes,) int64, examples of each class.
    """

    positions: Indices
    counts: Indices


def group_classes(source: Source, indices: Indices) -> ClassMembers:
    """Group the examples of a part, (k,) int64 positions in the source, by their class.

    Raises:
        UsageError: A class has none, so that it cannot be drawn.
    """
    labels = source.labels[indices]
    counts = np.bincount(labels, minlength=len(source.class_names))
    if not counts.all():
        raise UsageError(
            f"Got data.sampling=balanced, but class {source.class_names[int(counts.argmin())]!r} "
            f"has no train image in {source.name!r}. Expected one or more of each class. Try "
            "another split, or data.sampling=uniform."
        )
    return ClassMembers(np.argsort(labels, kind="stable"), counts)


@lru_cache(maxsize=4)
def in_order(count: int) -> Draws:
    """Return each of the positions (count,) once, in their order."""
    return read_only(Draws(np.arange(count, dtype=np.int64), np.zeros(count, dtype=np.int64)))


@lru_cache(maxsize=4)
def shuffled(seed: int, epoch: int, count: int) -> Draws:
    """Return each of the positions (count,) once, in an order keyed by (seed, epoch)."""
    order = generator_of(seed, epoch).permutation(count)
    return read_only(Draws(order, np.zeros(count, dtype=np.int64)))


@lru_cache(maxsize=4)
def balanced(seed: int, epoch: int, members: ClassMembers) -> Draws:
    """Return as many draws (k,) as there are members, keyed by (seed, epoch)."""
    generator, counts = generator_of(seed, epoch), members.counts
    classes = generator.integers(0, len(counts), len(members.positions))
    starts = np.cumsum(counts) - counts
    order = members.positions[starts[classes] + generator.integers(0, counts[classes])]
    return read_only(Draws(order, count_repeats(order)))


def read_only(draws: Draws) -> Draws:
    """Return draws (k,) that nobody can change: a cache hands the same arrays to every caller."""
    for array in draws:
        array.setflags(write=False)
    return draws


def generator_of(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator of the draws of an epoch."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))


def count_repeats(order: Indices) -> Indices:
    """Return how often an order (k,) had the value of each place before: (k,) int64."""
    places = np.argsort(order, kind="stable")
    _, starts, counts = np.unique(order[places], return_index=True, return_counts=True)
    repeats = np.empty_like(order)
    repeats[places] = np.arange(len(order)) - np.repeat(starts, counts)
    return repeats
