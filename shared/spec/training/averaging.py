"""Settings of the average of the weights over the updates, and its share as a function of them."""

from pydantic import Field

from poc.shared.spec.settings import Settings


class AverageSpec(Settings):
    """An exponential moving average of weights and running statistics.

    It starts from the initial weights. Each update is followed by average = d * average + (1 - d) *
    weights. The average is what is judged and kept; training goes on from the weights themselves.
    """

    decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        examples=[0.999],
        description="share of the average of the weights that an update keeps; none: no average",
    )
    warmup: bool = Field(
        True,
        description="with a decay: keep a smaller share at first, min(decay, (1 + t) / (10 + t)) "
        "after t updates, so that short runs forget their initial weights",
    )


def average_share(average: AverageSpec, update: int) -> float:
    """Return the share 1 - d of the new weights in their average.

    Args:
        average: Settings with a decay.
        update: Index of the update in its stage, from 0.

    Returns:
        The share, a plain float between 0 and 1.
    """
    share = 1 - (average.decay or 0.0)
    # 1 - (1 + t) / (10 + t), written so that it does not cancel.
    return max(share, 9 / (10 + update)) if average.warmup else share
