"""A schedule of checkpoints within an epoch: by steps or by minutes."""

import re
import time
from dataclasses import dataclass, field

from poc.shared.errors import UsageError

# A fault loses at most ten minutes of work, and a write in ten minutes costs next to nothing.
DEFAULT = "10min"
FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(steps?|min|minutes?|)")


@dataclass
class Saver:
    """A schedule that tells when a checkpoint is due; without steps and seconds, none ever is.

    Attributes:
        steps: Steps of the run from one checkpoint to the next.
        seconds: Time from one checkpoint to the next.
        last_saved: Time of the last checkpoint, on the clock `time.monotonic`.
        last_step: Number of steps done at the last checkpoint.
    """

    steps: int | None = None
    seconds: float | None = None
    last_saved: float = field(default_factory=time.monotonic)
    last_step: int = 0

    @classmethod
    def parse(cls, text: str) -> "Saver":
        """Read `500`, `500steps` or `10min`.

        Raises:
            UsageError: The text has another form, or the number is 0.
        """
        found = FORM.fullmatch(text.strip())
        number = float(found[1]) if found else 0.0
        is_minutes = found is not None and found[2].startswith("min")
        # A fraction of a minute is a time; a fraction of a step is not.
        if not found or number <= 0 or not (is_minutes or number.is_integer()):
            raise UsageError(
                f"Got --save-every {text!r}. Expected a number of steps or of minutes. "
                "Try for example 500 or 10min."
            )
        return cls(seconds=60 * number) if is_minutes else cls(steps=int(number))

    def is_due(self, step: int, now: float) -> bool:
        """Tell if a checkpoint is due after `step` steps, at the time `now` of `time.monotonic`."""
        if self.steps is not None:
            return step % self.steps == 0
        return self.seconds is not None and now - self.last_saved >= self.seconds

    def saved(self, step: int) -> None:
        """Note that a checkpoint was written now, after `step` steps."""
        self.last_saved, self.last_step = time.monotonic(), step
