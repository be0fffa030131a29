"""Losses in TensorFlow: per-example values (N,); the caller takes the mean."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy -sum_c label_c log softmax(logits)_c of every example.

    Args:
        logits: (N, num_classes).
        labels: (N,) int64, or soft ones (N, num_classes), of which each row is a distribution.

    Returns:
        (N,) loss per example.
    """
    # Two operations, where PyTorch's one takes both kinds of labels.
    if labels.shape.rank == 2:
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
