"""Plans of stages: each stage is a part of a method and has its own epochs."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Consecutive epochs that train one thing with a fresh optimiser.

    Attributes:
        name: Name that the method knows; empty for the only stage of a run.
        first_epoch: Number of its first epoch; the run's first is 1.
        num_epochs: Number of epochs, at least 1.
    """

    name: str
    first_epoch: int
    num_epochs: int

    @property
    def last_epoch(self) -> int:
        """Return the number of its last epoch, counted from 1."""
        return self.first_epoch + self.num_epochs - 1


def plan_stages(num_epochs: int, *first: tuple[str, int], last: str = "") -> tuple[Stage, ...]:
    """Plan stages one after the other.

    Args:
        num_epochs: Epochs of the run.
        *first: (name, epochs) of each stage but the last; one without an epoch is left out.
        last: Name of the last stage, which takes the remaining epochs, at least one.
    """
    stages: list[Stage] = []
    epoch = 1
    for name, wanted in first:
        taken = min(wanted, num_epochs - epoch)
        if taken > 0:
            stages.append(Stage(name, epoch, taken))
            epoch += taken
    return (*stages, Stage(last, epoch, num_epochs - epoch + 1))


def find_stage(stages: Sequence[Stage], epoch: int) -> Stage:
    """Return the stage of an epoch, counted from 1."""
    return next(stage for stage in reversed(stages) if stage.first_epoch <= epoch)
