"""Declaration of a method that starts from pretrained weights: functions of its options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from poc.shared.spec.networks.network import Network
from poc.shared.spec.training.stages import Stage, plan_stages

Options = TypeVar("Options")


def one_stage(options: object, num_epochs: int) -> tuple[Stage, ...]:
    """Plan one stage over the full run."""
    return plan_stages(num_epochs)


def keep_settings(options: object, run: Mapping[str, object], stage: str) -> Mapping[str, object]:
    """Return no changes: every stage has the run's own settings."""
    return {}


def no_side(options: object) -> int | None:
    """Return none: the method does not set a size."""
    return None


@dataclass(frozen=True, kw_only=True)
class FineTuning(Generic[Options]):
    """The declaration of a method that starts from pretrained weights.

    Attributes:
        extend: (options, network, stage) -> the network with the layers that this stage freezes.
        stages: (options, num_epochs) -> the plan.
        settings: (options, the run as JSON, stage) -> fields of the run that the stage changes.
        image_side: (options) -> side in pixels of the finished network's images; none: as in the
            data.
    """

    extend: Callable[[Options, Network, str], Network]
    stages: Callable[[Options, int], tuple[Stage, ...]] = one_stage
    settings: Callable[[Options, Mapping[str, Any], str], Mapping[str, object]] = keep_settings
    image_side: Callable[[Options], int | None] = no_side
