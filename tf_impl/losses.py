"""Losses in TensorFlow: per-example values (N,); the caller takes the mean."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """-sum(label * log softmax(logits)): logits (N, num_classes) -> (N,).

    Labels are (N,) int64, or soft: (N, num_classes), each row a distribution.
    """
    if labels.shape.rank == 2:
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
