"""How a run is carried out: settings that decide none of its numbers."""

from dataclasses import dataclass

from poc.shared.engine.folder.save_schedule import DEFAULT, Saver
from poc.shared.engine.ranks.refusals import check_ranks
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec


@dataclass(frozen=True, kw_only=True)
class Course:
    """Saves and processes of a run.

    Attributes:
        save_every: Steps or minutes between checkpoints within an epoch.
        processes: Processes on this machine that train it together.
    """

    save_every: str = DEFAULT
    processes: int = 1

    def check(self, run: RunSpec | None = None) -> None:
        """Refuse what cannot be carried out, as far as it is known without data.

        Raises:
            UsageError: The time between checkpoints or the number of processes is wrong.
        """
        Saver.parse(self.save_every)
        if self.processes < 1:
            raise UsageError(
                f"Got --processes {self.processes}. Expected 1 or more. Try --processes 2."
            )
        if run is not None:
            check_ranks(run, self.processes)
