"""Masks of random layers, drawn in NumPy and passed into the step of each backend.

They are counter-based: a mask depends on (run seed, step, layer name) alone, so that a resumed run,
a recomputed forward pass and the other framework all see the same mask.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from poc.shared.spec.networks.network import Network

Noise = dict[str, NDArray[np.bool_]]


def draw_noise(network: Network, *, seed: int, step: int, batch_size: int) -> Noise:
    """Draw the masks of one step.

    Args:
        network: Its random layers say which masks are needed.
        seed: Run seed.
        step: Index of the step, from 0.
        batch_size: Examples in the batch.

    Returns:
        Layer name -> (batch_size, *mask shape) bool, true where a value is kept. A layer that
        decides for the entire batch has a mask of shape (1,).
    """
    shapes = {
        name: ((batch_size, *shape), rate) for name, (shape, rate) in network.dropouts.items()
    }
    shapes |= {name: ((1,), rate) for name, rate in network.gates.items()}
    return {
        # CRC-32 and not `hash`, which differs from process to process.
        name: draw_mask(shape, rate, (seed, step, zlib.crc32(name.encode())))
        for name, (shape, rate) in shapes.items()
    }


def draw_mask(shape: tuple[int, ...], rate: float, counter: tuple[int, ...]) -> NDArray[np.bool_]:
    """Draw a Bernoulli mask (…) of `shape`, bool, from `counter`; P(true) is 1 - rate."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(counter)))
    return generator.random(shape, dtype=np.float32) >= rate
