"""Biases whose gradient is zero by chance: each random branch behind them keeps every example.

Norms then subtract such a bias again, as those of `Network.cancelled_biases`, whose gradient is
always zero. But which branch keeps all is only known in a step, so the backends compute this
gradient, and what they find is rounding: no two programs agree on it.
"""

from collections.abc import Collection

import numpy as np

from poc.shared.engine.numerics.noise import Noise
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.layers.residual import StochasticDepth
from poc.shared.spec.networks.network import Network

from .rungs import magnitude

# Largest gradient that is rounding, relative to the largest one of the network: some hundred units
# in the last place, as sums over a batch and its pixels have them.
ROUNDING = {"float64": 1e-13, "float32": 1e-5}


def cancelled_by_chance(network: Network, noise: Noise) -> frozenset[str]:
    """Return the biases that are cancelled with this noise, and not with any.

    Args:
        network: The network.
        noise: Masks (N, …) bool of one step.
    """
    kept = [
        node.name
        for node in network.nodes
        if isinstance(node.layer, StochasticDepth) and noise.get(node.name, np.array(0)).all()
    ]
    observed = network.observed
    return network.cancelled_beside(observed, kept) - network.cancelled_biases


def without_rounding(gradients: Arrays, names: Collection[str], precision: str) -> Arrays:
    """Return gradients (…) with zeros for those of `names` that are rounding; others stay."""
    largest = max((magnitude(value) for value in gradients.values()), default=0.0)
    return {
        name: np.zeros_like(value)
        if name in names and magnitude(value) <= ROUNDING[precision] * largest
        else value
        for name, value in gradients.items()
    }
