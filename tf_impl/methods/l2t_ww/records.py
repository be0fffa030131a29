"""What the four phases of an l2t-ww batch hand to each other."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from .hyper_gradients import Descent, Record, Tensors
from .matching import Constants, Gates

MAP_PREFIX = "source_map/"


class Batch(NamedTuple):
    """Images, labels, masks and source maps that every phase shares."""

    images: tf.Tensor
    labels: tf.Tensor
    noise: Mapping[str, tf.Tensor]
    extras: Mapping[str, tf.Tensor]


class BatchConstants(NamedTuple):
    """What stays the same within a batch; `outer` is what phase 4 measures theta on."""

    train: Batch
    outer: Batch
    matching: Constants
    gates: Gates
    descent: Descent


class Point(NamedTuple):
    """Where SGD stands: parameters, momentum, running statistics of the target."""

    theta: Tensors
    velocity: Tensors
    statistics: Tensors


class Evaluation(NamedTuple):
    """Loss terms (N,), their mean, logits, statistics after the pass, error of every channel."""

    terms: Tensors
    loss: tf.Tensor
    logits: tf.Tensor
    statistics: Tensors
    errors: Tensors


class LookAhead(NamedTuple):
    """Where phases 2 and 3 end, and what they leave.

    `statistics`: running statistics after the pass at theta_0. `matching`: matching loss of each
    look-ahead step and pair, summed over the batch (T, pairs). `hard`: cross-entropy of phase 3.
    """

    end: Point
    statistics: Tensors
    records: list[Record]
    matching: tf.Tensor
    hard: tf.Tensor


def part(batch: Batch, rows: slice) -> Batch:
    """Some examples of a batch; masks that hold for the whole batch stay."""
    noise = {
        name: mask[rows] if mask.shape[0] == batch.labels.shape[0] else mask
        for name, mask in batch.noise.items()
    }
    extras = {
        name: values[rows] for name, values in batch.extras.items() if name.startswith(MAP_PREFIX)
    }
    return Batch(batch.images[rows], batch.labels[rows], noise, extras)


def detached(tensors: Mapping[str, tf.Tensor]) -> Tensors:
    """The same values, as constants."""
    return {name: tf.stop_gradient(tensor) for name, tensor in tensors.items()}
