"""Losses of the labels in TensorFlow: per-example values (N,); the caller takes the mean."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from poc.shared.engine.teacher import MEAN_CLASS_WEIGHT
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.losses import LossSpec

from .device import find_device


def cross_entropy(
    logits: tf.Tensor,
    labels: tf.Tensor,
    class_weights: tf.Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Return the cross-entropy -sum_c w_c y_c log softmax(logits)_c of every example.

    y is the label, of which the share `label_smoothing` is spread evenly over all classes.

    Args:
        logits: (N, num_classes).
        labels: (N,) int64, or soft ones (N, num_classes), of which each row is a distribution.
        class_weights: w, (num_classes,); none: all are 1.
        label_smoothing: From 0 to below 1.

    Returns:
        (N,) loss per example.
    """
    # Two operations, where PyTorch's one takes both kinds of labels.
    if labels.shape.rank == 1 and not label_smoothing:
        values = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return values if class_weights is None else tf.gather(class_weights, labels) * values
    if labels.shape.rank == 1:
        labels = tf.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    if label_smoothing:
        labels = (1 - label_smoothing) * labels + label_smoothing / logits.shape[1]
    if class_weights is None:
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)
    # Its gradient supposes that a row of labels adds up to 1, which w_c y_c does not.
    return -tf.reduce_sum(class_weights * labels * tf.nn.log_softmax(logits), axis=1)


def focal(
    logits: tf.Tensor,
    labels: tf.Tensor,
    class_weights: tf.Tensor | None = None,
    *,
    gamma: float,
) -> tf.Tensor:
    """Return the focal loss -w_y (1 - p)^gamma log p of every example (arXiv 1708.02002, eq. 5).

    p = softmax(logits)_y is the probability of the label y.

    Args:
        logits: (N, num_classes).
        labels: (N,) int64.
        class_weights: w, (num_classes,), the paper's alpha; none: all are 1.
        gamma: 0 or more; 0 gives the cross-entropy.

    Returns:
        (N,) loss per example.
    """
    values = cross_entropy(logits, labels)
    if gamma:
        # At p = 1 loss and gradient are 0, but a power below 1 has an infinite slope there, and a
        # `where` behind it would still give 0 * infinity = NaN. It is taken at another point.
        is_sure = values <= 0
        safe = tf.where(is_sure, tf.ones_like(values), values)
        # 1 - p without cancellation, because log p is known.
        powers = (-tf.math.expm1(-safe)) ** gamma
        values = tf.where(is_sure, tf.zeros_like(values), powers * safe)
    return values if class_weights is None else tf.gather(class_weights, labels) * values


def binary_cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the binary cross-entropy of every example, the mean over its labels.

    It is -y log p - (1 - y) log(1 - p) with p = sigmoid(logit), computed without overflow as
    max(x, 0) - x y + log(1 + exp(-|x|)).

    Args:
        logits: (N, num_classes).
        labels: (N, num_classes), from 0 to 1.

    Returns:
        (N,) loss per example.
    """
    values = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(values, axis=1)


def right_answers(logits: tf.Tensor, labels: tf.Tensor, *, is_binary: bool) -> tf.Tensor:
    """Return (N,) bool, True where the largest logit is that of the label.

    With any number of labels, True where every logit above 0 is that of a label, and no other.

    Args:
        logits: (N, num_classes).
        labels: (N,) int64, or soft ones (N, num_classes), of which the largest counts; any number
            of labels are (N, num_classes), of which those above 1/2 count.
        is_binary: True if an image may have any number of labels.
    """
    if is_binary:
        return tf.reduce_all(tf.equal(logits > 0, labels > 0.5), axis=1)
    expected = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=1)
    return tf.equal(tf.argmax(logits, axis=1), expected)


# Name of a loss -> its function with the options of the settings.
LOSSES: Mapping[str, Callable[..., tf.Tensor]] = {
    "cross_entropy": lambda options, *tensors: cross_entropy(
        *tensors, label_smoothing=options.label_smoothing
    ),
    "focal": lambda options, *tensors: focal(*tensors, gamma=options.focal_gamma),
    "binary_cross_entropy": lambda options, *tensors: binary_cross_entropy(*tensors),
}


class HardLoss:
    """The loss of the labels that the settings `loss` name, built once per run.

    With class weights the mean over the examples of an update is sum(w_i l_i) / sum(w_i): each
    share w_i l_i is divided by the mean weight, which the step gets as a number. With Keras' habit
    it is sum(w_i l_i) / N, with the weight of the label's class or of the largest soft label.
    """

    def __init__(self, run: RunSpec) -> None:
        self.options: LossSpec = run.loss
        self.is_native = run.habits.loss == "native"
        weights = run.loss.weights_of(run.num_classes)
        self.class_weights: tf.Tensor | None = None
        if weights is not None:
            with tf.device(find_device(run)):
                self.class_weights = tf.constant(weights, run.dtype)

    def __call__(
        self, logits: tf.Tensor, labels: tf.Tensor, extras: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Return one share (N,) per example, whose mean is the loss.

        Args:
            logits: (N, num_classes).
            labels: (N,) int64, or soft ones (N, num_classes).
            extras: The step's coefficients (), with the mean class weight if classes have weights.
        """
        function = LOSSES[self.options.name]
        if self.class_weights is None:
            return function(self.options, logits, labels)
        if self.is_native:
            classes = labels if labels.shape.rank == 1 else tf.argmax(labels, axis=1)
            weights = tf.gather(self.class_weights, classes)
            return weights * function(self.options, logits, labels)
        values = function(self.options, logits, labels, self.class_weights)
        return values / extras[MEAN_CLASS_WEIGHT]

    def coefficients(self, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the coefficient () of a part of a batch, as if it were all of it.

        As `mean_class_weight` in `shared`, which knows the batch as a whole.

        Args:
            labels: (N,) int64, or soft ones (N, num_classes).
        """
        if self.class_weights is None:
            return {}
        mean = tf.ones((), self.class_weights.dtype)
        if labels.shape.rank == 1:
            found = tf.reduce_mean(tf.gather(self.class_weights, labels))
            mean = tf.where(found > 0, found, mean)
        return {MEAN_CLASS_WEIGHT: mean}
