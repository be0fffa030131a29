"""Losses of the labels in PyTorch: per-example values (N,); the caller takes the mean."""

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

from poc.shared.engine.teacher import MEAN_CLASS_WEIGHT
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.losses import LossSpec

from .device import find_device


def cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    class_weights: torch.Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
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
    return F.cross_entropy(
        logits,
        labels,
        weight=class_weights,
        label_smoothing=label_smoothing,
        reduction="none",
    )


def focal(
    logits: torch.Tensor,
    labels: torch.Tensor,
    class_weights: torch.Tensor | None = None,
    *,
    gamma: float,
) -> torch.Tensor:
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
        safe = torch.where(is_sure, torch.ones_like(values), values)
        # 1 - p without cancellation, because log p is known.
        powers = (-torch.expm1(-safe)) ** gamma
        values = torch.where(is_sure, torch.zeros_like(values), powers * safe)
    return values if class_weights is None else class_weights[labels] * values


def binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy of every example, the mean over its labels.

    It is -y log p - (1 - y) log(1 - p) with p = sigmoid(logit), computed without overflow as
    max(x, 0) - x y + log(1 + exp(-|x|)).

    Args:
        logits: (N, num_classes).
        labels: (N, num_classes), from 0 to 1.

    Returns:
        (N,) loss per example.
    """
    values = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return values.mean(dim=1)


def right_answers(logits: torch.Tensor, labels: torch.Tensor, *, is_binary: bool) -> torch.Tensor:
    """Return (N,) bool, True where the largest logit is that of the label.

    With any number of labels, True where every logit above 0 is that of a label, and no other.

    Args:
        logits: (N, num_classes).
        labels: (N,) int64, or soft ones (N, num_classes), of which the largest counts; any number
            of labels are (N, num_classes), of which those above 1/2 count.
        is_binary: True if an image may have any number of labels.
    """
    if is_binary:
        return ((logits > 0) == (labels > 0.5)).all(dim=1)
    expected = labels if labels.ndim == 1 else labels.argmax(dim=1)
    return logits.argmax(dim=1) == expected


# Name of a loss -> its function with the options of the settings.
LOSSES: Mapping[str, Callable[..., torch.Tensor]] = {
    "cross_entropy": lambda options, *tensors: cross_entropy(
        *tensors, label_smoothing=options.label_smoothing
    ),
    "focal": lambda options, *tensors: focal(*tensors, gamma=options.focal_gamma),
    "binary_cross_entropy": lambda options, *tensors: binary_cross_entropy(*tensors),
}


class HardLoss:
    """The loss of the labels that the settings `loss` name, built once per run.

    With class weights the mean over the examples of an update is sum(w_i l_i) / sum(w_i): each
    share w_i l_i is divided by the mean weight, which the step gets as a number.
    """

    def __init__(self, run: RunSpec) -> None:
        self.options: LossSpec = run.loss
        weights = run.loss.weights_of(run.num_classes)
        self.class_weights: torch.Tensor | None = None
        if weights is not None:
            dtype = getattr(torch, run.dtype)
            self.class_weights = torch.tensor(weights, dtype=dtype, device=find_device(run))

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, extras: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return one share (N,) per example, whose mean is the loss.

        Args:
            logits: (N, num_classes).
            labels: (N,) int64, or soft ones (N, num_classes).
            extras: The step's coefficients (), with the mean class weight if classes have weights.
        """
        function = LOSSES[self.options.name]
        if self.class_weights is None:
            return function(self.options, logits, labels)
        values = function(self.options, logits, labels, self.class_weights)
        return values / extras[MEAN_CLASS_WEIGHT]

    def coefficients(self, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the coefficient () of a part of a batch, as if it were all of it.

        As `mean_class_weight` in `shared`, which knows the batch as a whole.

        Args:
            labels: (N,) int64, or soft ones (N, num_classes).
        """
        if self.class_weights is None:
            return {}
        mean = self.class_weights.new_ones(())
        if labels.ndim == 1:
            found = self.class_weights[labels].mean()
            mean = torch.where(found > 0, found, mean)
        return {MEAN_CLASS_WEIGHT: mean}
