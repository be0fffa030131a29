"""The line that an epoch adds to `metrics.jsonl`."""

from collections.abc import Mapping
from typing import Any

from poc.shared.engine.folder.loop_state import LoopState

from .stage import StageSteps

# Rates of training on images, of training on kept values, and of computing the kept values.
# They have names of their own, so that no table compares a rate with one of another kind.
RATES = IMAGES, KEPT, COMPUTED = (
    "images_per_second",
    "kept_images_per_second",
    "computed_images_per_second",
)


def describe_epoch(
    state: LoopState,
    steps: StageSteps,
    metrics: Mapping[str, float],
    eval_seconds: float,
    *,
    was_kept: bool,
) -> dict[str, Any]:
    """Return the epoch's metrics, times in seconds, and rate.

    Args:
        state: The loop's state at the end of the epoch.
        steps: The steps of the epoch's stage.
        metrics: Metrics by name, `train/…` and `val/…`.
        eval_seconds: Seconds of validation.
        was_kept: True if all kept values existed before the epoch began.
    """
    train_seconds = state.seconds["train"]
    return {
        "epoch": state.epoch,
        "step": state.step,
        # The rate of the last step taken; `state.step` counts to the next one.
        "learning_rate": steps.rate(state.step - 1, state.rate_factor),
        **({"stage": name} if (name := steps.stage.name) else {}),
        **metrics,
        "train_seconds": train_seconds,
        "eval_seconds": eval_seconds,
        "epoch_seconds": train_seconds + eval_seconds,
        name_rate(steps, was_kept=was_kept): steps.data.train.examples / train_seconds,
    }


def name_rate(steps: StageSteps, *, was_kept: bool) -> str:
    """Name the rate after the work that is done on the counted examples.

    An epoch on kept values of the frozen part trains a head on them; the first one computes them.
    Neither is a rate at which the network trains on images.
    """
    if not steps.needs_no_images:
        return IMAGES
    return KEPT if was_kept else COMPUTED
