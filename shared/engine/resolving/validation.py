"""How many validation images it takes to choose an epoch."""

from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec


def chooses_epoch(run: RunSpec, num_images: int) -> bool:
    """Whether the best epoch is looked for on so many validation images.

    On a handful the choice is mostly chance: then none is chosen and the last epoch counts, as it
    does without a validation part. Asking for it (`min_validation_images`) makes it possible.
    """
    return 0 < num_images >= run.early_stopping.min_validation_images


def check_validation(run: RunSpec, num_images: int) -> str | None:
    """The sentence for a run that chooses no epoch since its validation part is small, or none.

    Raises:
        UsageError: Patience is asked for, which such a part cannot serve.
    """
    stopping = run.early_stopping
    smallest = stopping.min_validation_images
    if not num_images or chooses_epoch(run, num_images) or run.stages[-1].num_epochs == 1:
        return None
    if stopping.patience is not None or stopping.reduce_patience is not None:
        key = "reduce_patience" if stopping.patience is None else "patience"
        raise UsageError(
            f"received early_stopping.{key} with {num_images} validation images; allowed is it "
            f"with at least {smallest}, since fewer show mostly chance: remove {key}, or accept "
            f"that with --set min_validation_images={num_images}"
        )
    return (
        f"No epoch is chosen on {num_images} validation images, fewer than {smallest}: the last "
        f"one counts (--set min_validation_images={num_images} chooses)."
    )
