"""The line that an epoch leaves in `metrics.jsonl`."""

from collections.abc import Mapping
from typing import Any

from poc.shared.engine.folder.loop_state import LoopState

from .stage import StageSteps

# Of training on images, of training on kept values, and of computing these.
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
    """The epoch's metrics, times and rate.

    Args:
        state: Where the loop stands, at the end of the epoch.
        steps: Those of its stage.
        metrics: What was measured.
        eval_seconds: Of validation.
        was_kept: Whether everything that is kept was there before the epoch.
    """
    train_seconds = state.seconds["train"]
    return {
        "epoch": state.epoch,
        "step": state.step,
        "learning_rate": steps.rate(state.step - 1, state.rate_factor),
        **({"stage": name} if (name := steps.stage.name) else {}),
        **metrics,
        "train_seconds": train_seconds,
        "eval_seconds": eval_seconds,
        "epoch_seconds": train_seconds + eval_seconds,
        name_rate(steps, was_kept=was_kept): steps.data.train.examples / train_seconds,
    }


def name_rate(steps: StageSteps, *, was_kept: bool) -> str:
    """What is done with the examples that are counted per second.

    An epoch on kept values of the frozen part trains a head on them; the first one computes them.
    Neither is a rate at which the network trains on images.
    """
    if not steps.needs_no_images:
        return IMAGES
    return KEPT if was_kept else COMPUTED
