"""Merging of LoRA: each term is added to its kernel, which gives a plain network."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Array
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.networks.layers.lora import FIRST, SECOND
from poc.shared.spec.networks.lora import adapted_kernels, without_lora
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec


def merge_lora(network: Network, weights: Mapping[str, Array]) -> tuple[Network, Weights]:
    """Return the plain network and its weights; a network without terms does not change.

    Args:
        network: The network with its terms.
        weights: Canonical `Weights`; tensors of other networks are ignored.

    Returns:
        The network without terms, and its float64 canonical `Weights`.
    """
    adapted = adapted_kernels(network)
    plain = without_lora(network) if adapted else network
    merged: Weights = {p.name: np.asarray(weights[p.name], np.float64) for p in plain.parameters}
    for name, (owner, scale) in adapted.items():
        first, second = (weights[f"{owner}/{end}"] for end in (FIRST, SECOND))
        merged[name] = merge_kernel(merged[name], first, second, scale)
    return plain, merged


def merge_kernel(kernel: Array, first: Array, second: Array, scale: float) -> NDArray[np.float64]:
    """Return the kernel W + scale * A B, (…, in, out) float64.

    Args:
        kernel: W (…, in, out).
        first: A (…, in, groups * rank).
        second: B (1, …, rank, out).
        scale: Factor on the product.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    groups = a.shape[-1] // b.shape[-2]
    pairs = zip(np.split(a, groups, axis=-1), np.split(b, groups, axis=-1), strict=True)
    product = np.concatenate([one @ other for one, other in pairs], axis=-1)
    return np.asarray(kernel, np.float64) + scale * product


def merge_run(run: RunSpec, weights: Weights) -> tuple[RunSpec, Weights]:
    """Return the run without LoRA, and canonical `Weights` of the types that they had.

    The run knows its images. A run without LoRA does not change.
    """
    if run.lora.rank is None:
        return run, dict(weights)
    _, merged = merge_lora(declare_network(run), weights)
    typed = {name: value.astype(weights[name].dtype) for name, value in merged.items()}
    return run.replace(lora={}), typed
