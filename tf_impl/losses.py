"""Losses in TensorFlow: per-example values (N,); the caller takes the mean."""

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """-log softmax(logits)[label]: logits (N, num_classes), labels (N,) int64 -> (N,)."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
