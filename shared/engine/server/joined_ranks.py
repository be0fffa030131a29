"""The ranks that a worker has joined, if it is one of several."""

from poc.shared.engine.backend import Backend
from poc.shared.engine.ranks.place import Place
from poc.shared.engine.ranks.ranks import Ranks
from poc.shared.spec.run import RunSpec


class JoinedRanks:
    """The place of this process, which joins the others when its framework has been set up."""

    def __init__(self) -> None:
        self.place = Place.of_environment()
        self._ranks: Ranks | None = None

    def join(self, backend: Backend, run: RunSpec) -> Ranks:
        """Meet the other ranks, once; a process that is alone meets nobody."""
        if self._ranks is None:
            ranks = Ranks(self.place)
            if not self.place.is_alone:
                backend.join(run, ranks.introduce())
            self._ranks = ranks
        return self._ranks
