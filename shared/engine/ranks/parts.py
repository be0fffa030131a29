"""The part of a global batch that one rank computes; the sum over ranks is what one process has.

The loss of a batch is the mean over all its examples. Each rank adds up the losses of its part, and
divides by the number of examples of the global batch. Gradients are added up over ranks, and weight
decay, clipping and the update rule then act on the sum, on every rank alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.shard import Shard
from poc.shared.engine.numerics.noise import Noise, draw_noise
from poc.shared.engine.teacher import COEFFICIENT_PREFIX
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.layers.elementwise import BatchNorm
from poc.shared.spec.networks.network import Network

# The factor of each example's loss in the mean over the global batch. A step has it if the run has
# several ranks. It is 0 for the stand-in of a rank without an example.
EXAMPLE_SHARE = f"{COEFFICIENT_PREFIX}example_share"
# The place of this rank's first example in the global batch. It comes with the share.
FIRST_PLACE = f"{COEFFICIENT_PREFIX}first_place"


def share_numbers(size: int, shard: Shard) -> Arrays:
    """Return the share () of each example of this rank and the first one's place (), by name.

    There are none if there is one rank.

    Args:
        size: Examples of the global batch.
        shard: The share of this rank.
    """
    if shard.count == 1:
        return {}
    share = 1 / size if shard.part(size) else 0.0
    first = float(shard.read(size)[0])
    return {EXAMPLE_SHARE: np.asarray(share), FIRST_PLACE: np.asarray(first)}


def draw_part(
    network: Network, shard: Shard, size: int, *, seed: int, step: int, first: int
) -> Noise:
    """Draw this rank's rows of the masks of a global batch: (N, …), or (1,) for a gate.

    Args:
        network: Its random layers say which masks are needed.
        shard: The share of this rank.
        size: Examples of the global batch.
        seed: Run seed.
        step: Index of the update, from 0.
        first: Examples of the same update in earlier batches.
    """
    places = shard.read(size)
    return draw_noise(
        network, seed=seed, step=step, batch_size=len(places), first=first + int(places[0])
    )


def moving_statistics(network: Network) -> list[str]:
    """Return the names of the running statistics that steps of training move."""
    return [
        f"{node.name}/{name}"
        for node in network.needed([network.output])
        if isinstance(node.layer, BatchNorm) and node.uses_batch_statistics
        for name in ("moving_mean", "moving_variance")
    ]


def join_rows(parts: Sequence[NDArray[np.generic]], sizes: Sequence[int]) -> NDArray[np.generic]:
    """Put the rows of all ranks into the order of one process.

    Args:
        parts: For each rank, its rows (k, …) of all batches, with those of stand-ins.
        sizes: Examples of each global batch.

    Returns:
        (N, …) rows, where N is the sum of the sizes.
    """
    shards = [Shard(index, len(parts)) for index in range(len(parts))]
    taken, rows = [0] * len(parts), []
    for size in sizes:
        for index, shard in enumerate(shards):
            start = taken[index]
            rows.append(parts[index][start : start + len(shard.part(size))])
            taken[index] += len(shard.read(size))
    return np.concatenate(rows)
