"""The rows of a batch of which several ranks have a part each, in TensorFlow."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE, FIRST_PLACE

from .collectives import sum_through


def gather_rows(values: tf.Tensor, extras: Mapping[str, tf.Tensor], *, length: int) -> tf.Tensor:
    """Return the rows of all ranks in the order of one process: (N, K) -> (length, K).

    Rows behind the batch are 0. Gradients of any order pass to the rank that a row is from.

    Args:
        values: (N, K), of the examples of this rank.
        extras: Scalars () of the step, with the share of an example and the first one's place.
        length: Rows of the result, at least as many as the batch of all ranks has.
    """
    # A stand-in is no example of the batch.
    own = values * tf.cast(extras[EXAMPLE_SHARE] > 0, values.dtype)
    places = tf.range(own.shape[0]) + tf.cast(extras[FIRST_PLACE], tf.int32)
    rows = tf.scatter_nd(places[:, None], own, (length, own.shape[1]))
    return sum_through(rows)
