"""What stands around a training loop."""

from dataclasses import dataclass, field

from poc.shared.engine.console.work_count import Report
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.worker.interruption import Interruption


def tell_nobody(event: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """Where a loop writes, whom it tells, and who stops it.

    Attributes:
        folder: Where checkpoints and metrics go.
        report: Called with progress events.
        saver: When to save between epochs; default: never.
        interruption: Asked after every step whether to stop; default: nobody asks.
    """

    folder: RunFolder
    report: Report = tell_nobody
    saver: Saver = field(default_factory=Saver)
    interruption: Interruption = field(default_factory=Interruption)
