"""Values that the four phases of an l2t-ww batch pass to each other."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from .hyper_gradients import Descent, Record, Tensors
from .matching import Constants, Gates

MAP_PREFIX = "source_map/"


class Batch(NamedTuple):
    """Images (N, C, H, W), labels, masks and source maps (N, …) that every phase shares."""

    images: torch.Tensor
    labels: torch.Tensor
    noise: Mapping[str, torch.Tensor]
    extras: Mapping[str, torch.Tensor]


class BatchConstants(NamedTuple):
    """Constants of a batch; phase 4 measures theta on the examples of `outer`."""

    train: Batch
    outer: Batch
    matching: Constants
    gates: Gates
    descent: Descent


class Point(NamedTuple):
    """A state of SGD: parameters, momentum and running statistics of the target."""

    theta: Tensors
    velocity: Tensors
    statistics: Tensors


class Evaluation(NamedTuple):
    """Results of a pass: loss terms (N,), their mean, logits, new statistics, channel errors."""

    terms: Tensors
    loss: torch.Tensor
    logits: torch.Tensor
    statistics: Tensors
    errors: Tensors


class LookAhead(NamedTuple):
    """Results of phases 2 and 3, with the state at their end.

    `statistics`: running statistics after the pass at theta_0. `matching`: matching loss of each
    look-ahead step and pair, summed over the batch (T, pairs). `hard`: hard loss of phase 3.
    """

    end: Point
    statistics: Tensors
    records: list[Record]
    matching: torch.Tensor
    hard: torch.Tensor


def part(batch: Batch, rows: slice) -> Batch:
    """Return some examples of a batch (N, …); masks (1,) are for all examples and stay."""
    noise = {
        name: mask[rows] if len(mask) == len(batch.labels) else mask
        for name, mask in batch.noise.items()
    }
    extras = {
        name: values[rows] for name, values in batch.extras.items() if name.startswith(MAP_PREFIX)
    }
    return Batch(batch.images[rows], batch.labels[rows], noise, extras)


def detached(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Return the same values (…) as constants to the gradient."""
    return {name: tensor.detach() for name, tensor in tensors.items()}
