"""Weights of the classes in the training loss: from the training part, and their mean in a batch.

The step gets the mean as a number, so that both backends divide by the same one. With the labels of
several batches it is the mean of an update that adds up their gradients.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array


def balanced_weights(labels: NDArray[np.int64], class_names: Sequence[str]) -> tuple[float, ...]:
    """Return n / (num_classes * n_c) of every class, as scikit-learn's `compute_class_weight`.

    Args:
        labels: (n,) of the training part.
        class_names: Names of all classes.

    Raises:
        UsageError: A class has no training image.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    missing = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UsageError(
            f"Got loss.class_weights='balanced', but the training part has no image of the class "
            f"{missing[0]!r}{more}. Expected an image of every class. Try a larger training part, "
            "or loss.class_weights=[…] with one number per class."
        )
    return tuple(float(weight) for weight in len(labels) / (len(class_names) * counts))


def mean_class_weight(class_weights: Sequence[float], labels: Array) -> float:
    """Return the mean class weight of the examples of an update, by which its loss is divided.

    It is 1 for soft labels, which PyTorch averages over the examples, and where all weights are 0:
    such an update has the loss 0, where PyTorch's would be 0 / 0.

    Args:
        class_weights: One number per class.
        labels: (N,) int64 of the entire update, or soft ones (N, num_classes).
    """
    if labels.ndim == 2:
        return 1.0
    return float(np.asarray(class_weights, dtype=np.float64)[labels.astype(np.int64)].mean()) or 1.0
