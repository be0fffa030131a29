"""When to save between two epochs: after so many steps, or so many minutes."""

import re
import time
from dataclasses import dataclass, field

from poc.shared.errors import UsageError

# Long enough to cost nothing, short enough to lose little.
DEFAULT = "10min"
FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(steps?|min|minutes?|)")


@dataclass
class Saver:
    """Tells when a checkpoint is due; without steps and seconds never.

    Attributes:
        steps: Save after every so many steps of the run.
        seconds: Save when so much time has passed since the last checkpoint.
        last_saved: When, on the clock `time.monotonic`.
        last_step: After how many steps.
    """

    steps: int | None = None
    seconds: float | None = None
    last_saved: float = field(default_factory=time.monotonic)
    last_step: int = 0

    @classmethod
    def parse(cls, text: str) -> "Saver":
        """Read `500`, `500steps` or `10min`.

        Raises:
            UsageError: Anything else, or nothing at all.
        """
        found = FORM.fullmatch(text.strip())
        number = float(found[1]) if found else 0.0
        is_minutes = found is not None and found[2].startswith("min")
        if not found or number <= 0 or not (is_minutes or number.is_integer()):
            raise UsageError(
                f"received --save-every {text!r}; allowed are steps, such as 500, or minutes, such "
                "as 10min: write one of them"
            )
        return cls(seconds=60 * number) if is_minutes else cls(steps=int(number))

    def is_due(self, step: int, now: float) -> bool:
        """Whether to save after so many steps, at this time of `time.monotonic`."""
        if self.steps is not None:
            return step % self.steps == 0
        return self.seconds is not None and now - self.last_saved >= self.seconds

    def saved(self, step: int) -> None:
        """Count from here."""
        self.last_saved, self.last_step = time.monotonic(), step
