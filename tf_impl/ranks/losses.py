"""The mean loss of a batch of which several ranks have a part each, in TensorFlow."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE


def mean_loss(losses: Mapping[str, tf.Tensor], extras: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the mean () of loss terms (N,), added up; of several ranks, this one's share of it."""
    if EXAMPLE_SHARE in extras:
        total = tf.add_n([tf.reduce_sum(values) for values in losses.values()])
        return total * extras[EXAMPLE_SHARE]
    return tf.add_n([tf.reduce_mean(values) for values in losses.values()])
