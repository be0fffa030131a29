"""Plans of several stages: which part of a method an epoch belongs to, as a pure function."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Consecutive epochs that train one thing with a fresh optimiser.

    Attributes:
        name: Known to the method; empty where there is only one stage.
        first_epoch: From 1.
        num_epochs: At least 1.
    """

    name: str
    first_epoch: int
    num_epochs: int

    @property
    def last_epoch(self) -> int:
        """From 1."""
        return self.first_epoch + self.num_epochs - 1


def plan_stages(num_epochs: int, *first: tuple[str, int], last: str = "") -> tuple[Stage, ...]:
    """Stages of these (name, epochs) one after the other; `last` takes the epochs that are left.

    A stage of no epoch is left out, and `last` keeps at least one.
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
    """The stage of an epoch, counted from 1."""
    return next(stage for stage in reversed(stages) if stage.first_epoch <= epoch)
