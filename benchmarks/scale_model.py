"""A model of the time of a step on many machines, from figures of one machine.

A step of R ranks takes, for a global batch of B images:

- computation: a + c ceil(B / R), a line through measured steps of one rank;
- the sum of the gradients, all in one message, after the backward pass;
- three sums for each batch norm with C channels: C + 1 and C values forward, 2 C backward;
- the meeting of the ranks at rank 0, which hears a message of each and answers each with one;
- or the time in which a rank reads its images, if that is longer: it reads while it computes.

A sum of G bytes over R ranks takes, with latency l and bandwidth w of the slowest link (Thakur,
Rabenseifner and Gropp 2005):

    ring    2 (R - 1) l + 2 (R - 1) / R G / w
    tree    2 log2(R) (l + G / w)         sums up to one rank, and back

The faster one is taken, as libraries choose by size. Additions are not counted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RANKS = tuple(2**power for power in range(11))
BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Network:
    """Figures of one network.

    Attributes:
        name: Name on the page.
        gradient_bytes: Bytes of all gradients of a step.
        norm_channels: Channels of each batch norm over the global batch.
        fixed_seconds: Part of a step that does not depend on the batch.
        image_seconds: Computation of one image more.
        reading_seconds: Time in which one process reads and decodes an image.
    """

    name: str
    gradient_bytes: int
    norm_channels: tuple[int, ...]
    fixed_seconds: float
    image_seconds: float
    reading_seconds: float

    @property
    def norm_sums(self) -> list[int]:
        """Return the bytes of each sum that the batch norms of a step need."""
        return [
            BYTES * count
            for channels in self.norm_channels
            for count in (channels + 1, channels, 2 * channels)
        ]

    @property
    def step_bytes(self) -> int:
        """Return the bytes that each rank gives into the sums of one step."""
        return self.gradient_bytes + sum(self.norm_sums)


@dataclass(frozen=True, kw_only=True)
class Link:
    """A connection between two machines: seconds of an empty message, bytes per second."""

    name: str
    latency_seconds: float
    bytes_per_second: float


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """The exchange at rank 0: its seconds for each other rank, to hear it and to answer it."""

    message_seconds: float

    def seconds(self, ranks: int, link: Link) -> float:
        """Return the time in which rank 0 hears every other rank and answers it."""
        if ranks == 1:
            return 0.0
        return (ranks - 1) * self.message_seconds + 2 * link.latency_seconds


@dataclass(frozen=True, kw_only=True)
class Step:
    """The parts of the time of a step."""

    computation: float
    gradients: float
    norms: float
    meeting: float
    reading: float

    @property
    def seconds(self) -> float:
        """Return the time of the step."""
        return max(self.computation + self.gradients + self.norms + self.meeting, self.reading)

    @property
    def largest(self) -> str:
        """Return the name of the longest part."""
        if self.reading >= self.seconds:
            return "reading"
        parts = {
            "computation": self.computation,
            "gradients": self.gradients,
            "batch norms": self.norms,
            "meeting": self.meeting,
        }
        return max(parts, key=lambda name: parts[name])


def ring_seconds(size: float, ranks: int, link: Link) -> float:
    """Return the time of a sum over a ring."""
    steps = ranks - 1
    share = 2 * steps / ranks * size / link.bytes_per_second
    return 2 * steps * link.latency_seconds + share


def tree_seconds(size: float, ranks: int, link: Link) -> float:
    """Return the time of a sum over a tree, up and down."""
    levels = math.ceil(math.log2(ranks))
    return 2 * levels * (link.latency_seconds + size / link.bytes_per_second)


def sum_seconds(size: float, ranks: int, link: Link) -> float:
    """Return the time of a sum by the faster of both ways."""
    return min(ring_seconds(size, ranks, link), tree_seconds(size, ranks, link))


def predict_step(
    network: Network, ranks: int, batch_size: int, link: Link, meeting: Meeting
) -> Step:
    """Return the parts of a step of so many ranks; `batch_size` is that of all ranks together."""
    own = math.ceil(batch_size / ranks)
    return Step(
        computation=network.fixed_seconds + network.image_seconds * own,
        gradients=sum_seconds(network.gradient_bytes, ranks, link),
        norms=sum(sum_seconds(size, ranks, link) for size in network.norm_sums),
        meeting=meeting.seconds(ranks, link),
        reading=network.reading_seconds * own,
    )


def efficiency(
    network: Network, ranks: int, batch_size: int, link: Link, meeting: Meeting
) -> float:
    """Return the images per second of so many ranks, over as many times those of one."""
    alone = predict_step(network, 1, max(batch_size // ranks, 1), link, meeting).seconds
    together = predict_step(network, ranks, batch_size, link, meeting).seconds
    return alone / together * batch_size / (max(batch_size // ranks, 1) * ranks)


def speedup(network: Network, ranks: int, batch_size: int, link: Link, meeting: Meeting) -> float:
    """Return how many times faster so many ranks take a step of the same global batch."""
    alone = predict_step(network, 1, batch_size, link, meeting).seconds
    return alone / predict_step(network, ranks, batch_size, link, meeting).seconds


def fit_line(points: Mapping[int, float] | Mapping[float, float]) -> tuple[float, float]:
    """Return (a, b) of the line a + b x that is nearest to the points by relative error.

    Neither is negative.
    """
    x, y = (np.array(values, dtype=float) for values in zip(*points.items(), strict=True))
    rows = np.stack([1 / y, x / y], axis=1)
    (a, b), *_ = np.linalg.lstsq(rows, np.ones(len(y)), rcond=None)
    if a < 0:
        return 0.0, float((x / y).sum() / ((x / y) ** 2).sum())
    if b < 0:
        return float((1 / y).sum() / (1 / y**2).sum()), 0.0
    return float(a), float(b)


def find_ceiling(efficiencies: Sequence[float], ranks: Sequence[int] = RANKS) -> int:
    """Return the most ranks up to which all are at least half as useful as one alone."""
    found = ranks[0]
    for count, value in zip(ranks, efficiencies, strict=True):
        if value < 0.5:
            break
        found = count
    return found
