"""Multinomial logistic regression on features, by scikit-learn, as kernel and bias of a layer."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poc.shared.files.arrays import Arrays
from poc.shared.spec.methods.fitted_heads import LogisticOptions

# Largest component of the gradient at which the solver stops. scikit-learn's own bound, 1e-4,
# leaves coefficients that depend on the start; this one is near what float64 can reach.
GRADIENT_BOUND = 1e-8
# Logit of a class without training images. The bias is not penalised, so that the exact solution
# is minus infinity: such a class is never chosen.
ABSENT_LOGIT = -100.0


class LogisticHead(NamedTuple):
    """A fitted layer: kernel (F, C) and bias (C,) of C classes, and whether the solver ended."""

    weights: Arrays
    is_converged: bool


def fit_logistic(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    num_classes: int,
    c: float,
    options: LogisticOptions,
) -> LogisticHead:
    """Fit scikit-learn's `LogisticRegression` in float64.

    With two classes scikit-learn fits one column z; the logits are -z/2 and z/2, of the same
    probabilities.

    Args:
        features: (N, F) of the training images.
        labels: (N,) of at least two classes.
        num_classes: Number of logits.
        c: Inverse strength of the L2 penalty.
        options: Standardisation and the most iterations.
    """
    # Imported here: it takes a second, and every command reads this package.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, deviation = standardisation(features, is_on=options.standardize)
    model = LogisticRegression(C=c, tol=GRADIENT_BOUND, max_iter=options.max_iterations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit((features.astype(np.float64) - mean) / deviation, labels)
    kernel, bias = np.asarray(model.coef_).T, np.asarray(model.intercept_)
    if kernel.shape[1] == 1:
        kernel, bias = kernel * [-0.5, 0.5], bias * [-0.5, 0.5]
    weights = fold(kernel, bias, mean, deviation)
    is_converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    return LogisticHead(place(weights, np.asarray(model.classes_), num_classes), is_converged)


def standardisation(
    features: NDArray[np.floating], *, is_on: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean (F,) and deviation (F,) of features (N, F); a constant feature is divided by 1.

    If it is not on, these are 0 and 1.
    """
    if not is_on:
        return np.zeros(features.shape[1]), np.ones(features.shape[1])
    values = features.astype(np.float64)
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def fold(
    kernel: NDArray[np.float64],
    bias: NDArray[np.float64],
    mean: NDArray[np.float64],
    deviation: NDArray[np.float64],
) -> Arrays:
    """Return kernel (F, C) and bias (C,) for plain features, from those for standardised ones."""
    folded = kernel / deviation[:, None]
    return {"kernel": folded, "bias": bias - mean @ folded}


def place(weights: Arrays, classes: NDArray[np.int64], num_classes: int) -> Arrays:
    """Put the columns of kernel (F, k) and bias (k,) at their `classes` (k,), others never win."""
    kernel = np.zeros((len(weights["kernel"]), num_classes))
    bias = np.full(num_classes, ABSENT_LOGIT)
    kernel[:, classes], bias[classes] = weights["kernel"], weights["bias"]
    return {"kernel": kernel, "bias": bias}
