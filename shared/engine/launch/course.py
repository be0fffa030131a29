"""How a run is carried out: settings that decide none of its numbers."""

from dataclasses import dataclass
from pathlib import Path

from poc.shared.engine.folder.save_schedule import DEFAULT, Saver
from poc.shared.engine.ranks.place import ALONE, Place
from poc.shared.engine.ranks.refusals import check_ranks
from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec

from .executors import check_engine
from .rank_workers import local_places


@dataclass(frozen=True, kw_only=True)
class Course:
    """Saves and processes of a run.

    Attributes:
        save_every: Steps or minutes between checkpoints within an epoch.
        processes: Processes that train it together.
        max_restarts: Restarts from the last checkpoint after a process has died.
        engine: Program that starts the processes: `local` for this one, or `ray`.
        address: Address of the Ray cluster; None for a new one on this machine.
        place: Place of this process among those that a launcher has started, each of which trains
            its part.
    """

    save_every: str = DEFAULT
    processes: int = 1
    max_restarts: int = 0
    engine: str = "local"
    address: str | None = None
    place: Place = ALONE

    def check(self, run: RunSpec | None = None) -> None:
        """Refuse what cannot be carried out, as far as it is known without data.

        Raises:
            UsageError: The time between checkpoints, the number of processes or the engine is
                wrong.
        """
        Saver.parse(self.save_every)
        check_engine(self.engine, self.address)
        if self.processes < 1:
            raise UsageError(
                f"Got --processes {self.processes}. Expected 1 or more. Try --processes 2."
            )
        if self.max_restarts < 0:
            raise UsageError(
                f"Got --max-restarts {self.max_restarts}. Expected 0 or more. Try --max-restarts 3."
            )
        if not self.place.is_alone:
            self.check_launched()
        if run is not None:
            check_ranks(run, self.place.count if self.processes == 1 else self.processes)

    def check_launched(self) -> None:
        """Refuse what only a command that starts its ranks itself can do.

        Raises:
            UsageError: It is to start processes, or to start them again.
        """
        rank = f"rank {self.place.index} of {self.place.count}, by the launcher's variables"
        given = {
            f"--processes {self.processes}": self.processes > 1,
            "--engine ray": self.is_on_ray,
        }
        for option in (name for name, is_given in given.items() if is_given):
            raise UsageError(
                f"Got {option} for {rank}. Expected one of both. Try removing "
                f"{option.split()[0]}, or unsetting WORLD_SIZE and TF_CONFIG."
            )
        if self.max_restarts:
            raise UsageError(
                f"Got --max-restarts {self.max_restarts} for {rank}. Expected a launcher that "
                "starts ranks again. Try its own option, with `poc run --resume`."
            )

    @property
    def is_on_ray(self) -> bool:
        """Say if a Ray cluster runs the processes."""
        return self.engine == "ray"

    def require_output(self, output: Path | None) -> None:
        """Refuse a launched rank without a folder: a new name would differ from rank to rank.

        Raises:
            UsageError: There are several ranks, and no folder.
        """
        if output is None and not self.place.is_alone:
            raise UsageError(
                f"Got rank {self.place.index} of {self.place.count} without --output. Expected a "
                "folder that all ranks name. Try --output runs/NAME."
            )

    def places(self) -> list[Place]:
        """Return the places of the processes that this one starts."""
        return local_places(self.processes) if self.place.is_alone else [self.place]
