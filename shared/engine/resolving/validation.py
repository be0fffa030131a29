"""A check that there are enough validation images to choose an epoch."""

from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec


def chooses_epoch(run: RunSpec, num_images: int) -> bool:
    """Tell if the run chooses its best epoch by this number of validation images.

    With few images the choice is mostly chance. Then no epoch is chosen and the last one counts, as
    without a validation part. A lower `min_validation_images` makes the choice possible.
    """
    return 0 < num_images >= run.early_stopping.min_validation_images


def check_validation(run: RunSpec, num_images: int) -> str | None:
    """Return a note if the validation part is too small to choose an epoch; otherwise None.

    Raises:
        UsageError: The run sets a patience, which needs a larger validation part.
    """
    stopping = run.early_stopping
    smallest = stopping.min_validation_images
    # With a single epoch in the last stage there is nothing to choose.
    if not num_images or chooses_epoch(run, num_images) or run.stages[-1].num_epochs == 1:
        return None
    if stopping.patience is not None or stopping.reduce_patience is not None:
        key = "reduce_patience" if stopping.patience is None else "patience"
        raise UsageError(
            f"Got early_stopping.{key} with {num_images} validation images. Expected at least "
            f"{smallest}, since fewer show mostly chance. Try removing {key}, or accept that with "
            f"--set min_validation_images={num_images}."
        )
    return (
        f"No epoch is chosen on {num_images} validation images, fewer than {smallest}: the last "
        f"one counts (--set min_validation_images={num_images} chooses)."
    )
