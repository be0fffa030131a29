"""The parity ladder with further rungs: several processes give what one process gives.

On the rungs of gradients and of steps, the ranks of each backend compute the same again. They are
compared with one process of their backend, and with the ranks of the other one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from poc.shared.engine.ranks.refusals import check_ranks
from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.run import BACKENDS, RunSpec

from .backend_pair import BackendPair, Caller
from .batches import Batch
from .ladder import Ladder
from .progress import LadderProgress
from .rungs import Rung
from .single_batch import compare_loss_and_gradients
from .trajectories import Outcome

Pair = tuple[Caller, Caller]


class RankLadder(Ladder):
    """The rungs for one run, of one process and of several.

    Args:
        run: The run, of either backend, in float64.
        alone: Workers of tf and of torch.
        groups: The ranks of tf, and those of torch.
        count: Number of ranks.
        progress: As of `Ladder`.
    """

    def __init__(
        self,
        run: RunSpec,
        alone: Pair,
        groups: Pair,
        count: int,
        progress: LadderProgress | None = None,
    ) -> None:
        super().__init__(run, *alone, progress=progress)
        self._alone, self._groups, self._count = alone, groups, count
        self._ranked = BackendPair(self._resolved, *groups, {})

    def at_stage(self, name: str) -> "RankLadder":
        """Return the ladder of one stage."""
        run = self._run.at_stage(name)
        return RankLadder(run, self._alone, self._groups, self._count, self._progress)

    def compare_gradients(self, weights: Weights, batches: Sequence[Batch]) -> list[Rung]:
        """Compare loss () and gradients (…) of one batch, of one process and of several."""
        rungs = super().compare_gradients(weights, batches)
        probe = next(self._pair.probes(batches))
        one, several = (
            [pair.gradients(weights, worker, probe) for worker in pair.workers]
            for pair in (self._pair, self._ranked)
        )
        for name, values in self.name_pairs(one, several):
            found = compare_loss_and_gradients(values, self._tolerances)
            rungs += [replace(rung, name=f"{name}: {rung.name}") for rung in found]
        return rungs

    def compare_steps(
        self, optimizer: str, weights: Weights, batches: Sequence[Batch]
    ) -> list[Rung]:
        """Compare steps, their losses () and `Weights`, of one process and of several.

        Those that can be judged between both backends are judged.
        """
        first, outcome, notes = self.find_steps(optimizer, weights, batches)
        rungs = outcome.rungs(first, self._tolerances.steps, notes)
        probe = next(self._pair.probes(batches))
        several = []
        for worker in self._ranked.workers:
            several.append(self._ranked.trajectory(outcome.steps, weights, worker, probe))
            if self._progress is not None:
                self._progress.tell_pass(outcome.steps.name, len(several), len(self._groups))
        for name, values in self.name_pairs(outcome.values, several):
            found = self.judge(replace(outcome, values=values), first, outcome)
            rungs += [replace(rung, name=f"{name}, {rung.name}") for rung in found]
        return rungs

    def judge(self, ranked: Outcome, first: Outcome, judged: Outcome) -> list[Rung]:
        """Return the rungs of an outcome that takes the place of the one that is judged."""
        usual = ranked if judged is first else first
        return ranked.rungs(usual, self._tolerances.steps, ())

    def name_pairs(
        self, one: Sequence[Arrays], several: Sequence[Arrays]
    ) -> Iterator[tuple[str, list[Arrays]]]:
        """Yield what is compared with what, in words, and its values (…).

        Args:
            one: Of one process, per backend.
            several: Of several, per backend.
        """
        for index, backend in enumerate(BACKENDS):
            yield f"{backend}, {self._count} processes", [one[index], several[index]]
        yield f"both, {self._count} processes", list(several)


def check_rank_ladder(run: RunSpec, count: int) -> None:
    """Refuse a ladder of several processes, before any of them starts.

    Raises:
        UsageError: Processes cannot train the run together, or it is not in float64.
    """
    check_ranks(run, count)
    if run.precision != "float64":
        raise UsageError(
            f"Got --processes {count} with precision={run.precision!r}, in which another order of "
            "additions looks like another program. Expected float64. Try --dtype float64."
        )
