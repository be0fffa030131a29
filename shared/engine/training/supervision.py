"""The surroundings of a training loop: its folder, its reports and its interruption."""

from dataclasses import dataclass, field

from poc.shared.engine.console.work_count import Report
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.ranks.ranks import Ranks
from poc.shared.engine.worker.interruption import Interruption


def tell_nobody(event: object) -> None:
    """Drop an event, because nobody listens."""


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """Folder, reports, save schedule and interruption of a training loop.

    Attributes:
        folder: Run folder for checkpoints and metrics.
        report: Called with progress events.
        saver: Decides when to save between epochs; default: never.
        interruption: Asked after every step whether to stop; default: never.
        ranks: The other processes of the run; default: there are none.
    """

    folder: RunFolder
    report: Report = tell_nobody
    saver: Saver = field(default_factory=Saver)
    interruption: Interruption = field(default_factory=Interruption)
    ranks: Ranks = field(default_factory=Ranks)
