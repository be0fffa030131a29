"""Masks of random layers, drawn in NumPy and passed into the step of each backend.

They are counter-based: a mask depends on (run seed, step, layer name) alone, so that a resumed run,
a recomputed forward pass and the other framework all see the same mask.
"""

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from poc.shared.spec.networks.network import Network

Noise = dict[str, NDArray[np.bool_]]
# Numbers of 32 bits that Philox gives for one value of its counter.
NUMBERS_PER_COUNT = 8


def draw_noise(network: Network, *, seed: int, step: int, batch_size: int, first: int = 0) -> Noise:
    """Draw the masks of one step.

    Args:
        network: Its random layers say which masks are needed.
        seed: Run seed.
        step: Index of the step, from 0; of the update, if several batches make one.
        batch_size: Examples in the batch.
        first: Examples of the same update in earlier batches. The masks are those that one batch of
            all examples would have here.

    Returns:
        Layer name -> (batch_size, *mask shape) bool, true where a value is kept. A layer that
        decides for the entire batch has a mask of shape (1,).
    """
    shapes = {
        name: ((batch_size, *shape), rate) for name, (shape, rate) in network.dropouts.items()
    }
    shapes |= {name: ((1,), rate) for name, rate in network.gates.items()}
    return {
        # CRC-32 and not `hash`, which differs from process to process. A gate (1,) is that of all
        # batches of the update.
        name: draw_mask(
            shape,
            rate,
            (seed, step, zlib.crc32(name.encode())),
            skipped=first * math.prod(shape[1:]) if name not in network.gates else 0,
        )
        for name, (shape, rate) in shapes.items()
    }


def draw_mask(
    shape: tuple[int, ...], rate: float, counter: tuple[int, ...], *, skipped: int = 0
) -> NDArray[np.bool_]:
    """Draw a Bernoulli mask (…) of `shape`, bool, from `counter`; P(true) is 1 - rate.

    `skipped` numbers of the stream come before it, and are not computed.
    """
    source = np.random.Philox(np.random.SeedSequence(counter))
    counts, rest = divmod(skipped, NUMBERS_PER_COUNT)
    if counts:
        source.advance(counts)
    generator = np.random.Generator(source)
    if rest:
        generator.random(rest, dtype=np.float32)
    return generator.random(shape, dtype=np.float32) >= rate
