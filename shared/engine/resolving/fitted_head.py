"""Checks of a run that computes its head from features: their size, the classes, the choice."""

from typing import cast

import numpy as np

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Array
from poc.shared.spec.methods.fitted_heads import MOST_FEATURE_BYTES as MOST_BYTES
from poc.shared.spec.methods.fitted_heads import FittedHeadOptions
from poc.shared.spec.resolved import ResolvedRun

from .validation import chooses_epoch

# Features are float32 at most; the solver's copy has twice the size.
ITEM_BYTES = 4


def check_fitted_head(run: ResolvedRun, labels: Array, num_validation: int) -> str | None:
    """Return a note if C or k is not chosen by validation; otherwise None.

    Args:
        run: The run, of whatever method.
        labels: (N,) of the training images.
        num_validation: Number of validation images.

    Raises:
        UsageError: The features do not fit, the training images are of one class, or another
            method than `knn` would train a network with stored images.
    """
    if not run.method.fits_head:
        refuse_stored_images(run)
        return None
    check_feature_bytes(run, len(labels))
    if len(np.unique(labels)) < 2:
        raise UsageError(
            f"Got training images of one class for the method {run.spec.method!r}. Expected two "
            "classes at least. Try a larger data.split.train_sample."
        )
    return None if chooses_epoch(run.spec, num_validation) else tell_unchosen(run, num_validation)


def refuse_stored_images(run: ResolvedRun) -> None:
    """Refuse to train a network whose last layer holds stored images."""
    if run.spec.model_spec.stored_images is not None:
        raise UsageError(
            f"Got model.stored_images for the method {run.spec.method!r}, which fills none. "
            "Expected it with knn, which sets it. Try removing it."
        )


def check_feature_bytes(run: ResolvedRun, num_images: int) -> None:
    """Refuse features of all training images that are larger than the bound of kept values."""
    head = run.network.head
    values = head.input_shapes[0][-1]
    # Each stored image has a one-hot label too.
    values += run.network.num_classes if run.spec.model_spec.stored_images else 0
    size = ITEM_BYTES * num_images * values
    if size > MOST_BYTES:
        raise UsageError(
            f"Got {num_images:,} training images with {values:,} values each for the method "
            f"{run.spec.method!r}, {size:,} bytes. Expected at most {MOST_BYTES:,} bytes. Try "
            "fewer training images (data.split.train_per_class), or --method transfer."
        )


def tell_unchosen(run: ResolvedRun, num_validation: int) -> str:
    """Write the note about a C or a k that the options set, since nothing chooses it."""
    options = cast(FittedHeadOptions, run.method_settings)
    taken = f"{options.symbol} = {options.unchosen:g} (default_{options.symbol.lower()})"
    if not num_validation:
        return f"There is no validation part that could choose: {taken}."
    smallest = run.spec.early_stopping.min_validation_images
    return (
        f"{num_validation} validation images, fewer than {smallest}, choose no {options.symbol}: "
        f"{taken} (--set min_validation_images={num_validation} chooses)."
    )
