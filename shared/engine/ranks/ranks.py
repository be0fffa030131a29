"""Questions of the training loop to the other ranks: totals, decisions, answers of evaluations."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.batches.shard import Shard
from poc.shared.engine.machine.load import count_as_own
from poc.shared.engine.worker.interruption import Interruption

from .meeting import Meeting
from .parts import join_rows
from .place import ALONE, Place
from .ports import free_address

# Counts of steps, which every rank takes alike: of these the smallest counts, not the sum.
_OF_STEPS = ("num_steps", "good_steps")


class Decision(NamedTuple):
    """Agreement of all ranks after a step.

    Attributes:
        is_due: All save.
        is_agreed: A request to stop, if this rank has one, is known to all.
    """

    is_due: bool
    is_agreed: bool


class Ranks:
    """The ranks of a run, seen from one of them; a context manager.

    If there is one rank, it gets back what it gave, and waits for nobody.
    """

    def __init__(self, place: Place = ALONE) -> None:
        self.place = place
        self._meeting = None if place.is_alone else Meeting(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._meeting is not None:
            self._meeting.close()

    def introduce(self) -> Place:
        """Tell the other ranks of this one; return the place with the addresses of all.

        Processor time of ranks on this machine counts as the run's own from here on.
        """
        if self._meeting is None:
            return self.place
        own = {
            "address": free_address(self._meeting.own_host),
            "process": os.getpid(),
            "machine": socket.gethostname(),
        }
        found = self._meeting.exchange(own)
        count_as_own(int(each["process"]) for each in found if each["machine"] == own["machine"])
        addresses = self.place.addresses or tuple(str(each["address"]) for each in found)
        return replace(self.place, addresses=addresses)

    def meet(self) -> None:
        """Wait until every rank is here."""
        if self._meeting is not None:
            self._meeting.agree({}, lambda found: {})

    def pool_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        """Return a trainer's `metrics` over the examples of all ranks."""
        if self._meeting is None:
            return metrics
        return self._meeting.agree(metrics, pool_metrics)

    def add(self, value: float) -> float:
        """Return the sum of a number over all ranks."""
        if self._meeting is None:
            return value
        return float(self._meeting.agree({"value": value}, add_values)["value"])

    def pool_counts(self, counts: dict[str, float]) -> dict[str, float]:
        """Return a trainer's `counts` over the examples of all ranks, for a checkpoint."""
        if self._meeting is None:
            return counts
        return pool_counts(self._meeting.exchange(counts))

    def decide(self, *, is_due: bool, interruption: Interruption) -> Decision:
        """Agree, after a step, on a save and a stop, so that all ranks do both at the same step.

        A stop is taken if any rank was asked for one before it has called this. A save is rank 0's
        decision, whose clock counts.

        Args:
            is_due: This rank would save.
            interruption: Asked for the request of this rank; gets that of another.
        """
        if self._meeting is None:
            return Decision(is_due, is_agreed=True)
        own = {"is_due": is_due, "signal": interruption.number}
        found = self._meeting.agree(own, decide)
        if found["signal"] is not None and interruption.number is None:
            interruption.request(int(found["signal"]))
        return Decision(bool(found["is_due"]), is_agreed=found["signal"] is not None)

    def gather(
        self, answers: tuple[NDArray[np.floating], NDArray[np.int64]], sizes: Sequence[int]
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return logits (N, num_classes) and labels (N,) of all ranks, in the part's own order.

        Args:
            answers: Those of this rank's parts of the batches.
            sizes: Examples of each global batch.
        """
        if self._meeting is None:
            return answers
        found = self._meeting.exchange({"logits": answers[0], "labels": answers[1]})
        logits, labels = (
            join_rows([each[name] for each in found], sizes) for name in ("logits", "labels")
        )
        return cast("NDArray[np.floating]", logits), cast("NDArray[np.int64]", labels)


def add_values(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the sum of the values of all ranks."""
    return {"value": sum(each["value"] for each in found)}


def decide(found: Sequence[Mapping[str, int | None]]) -> dict[str, int | None]:
    """Return rank 0's decision about a save, and the first signal of any rank."""
    numbers = [each["signal"] for each in found if each["signal"] is not None]
    return {"is_due": found[0]["is_due"], "signal": numbers[0] if numbers else None}


def pool_metrics(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return means over the examples of all ranks, and the first bad step of any."""
    counts = [each["count"] for each in found]
    total = sum(counts)
    bad = [int(each["bad_step"]) for each in found if each["bad_step"] >= 0]
    names = [name for name in found[0] if name not in ("count", "bad_step")]
    means = {
        name: sum(each[name] * count for each, count in zip(found, counts, strict=True) if count)
        / max(total, 1.0)
        for name in names
    }
    return {**means, "count": total, "bad_step": min(bad, default=-1)}


def pool_counts(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return sums over all ranks, of counts of steps the smallest, and each rank's own numbers."""
    pooled = {
        name: (min if name in _OF_STEPS else sum)(each[name] for each in found) for name in found[0]
    }
    own = {f"@{index}/{name}": each[name] for index, each in enumerate(found) for name in each}
    return pooled | own


def own_counts(counts: Mapping[str, float], shard: Shard) -> dict[str, float]:
    """Return the counts that a rank resumes with.

    They are its own if the checkpoint is of as many ranks: a resume then rounds like any other. If
    it is of another number, rank 0 takes the sums.

    Args:
        counts: Those of a checkpoint.
        shard: The share of this rank.
    """
    pooled = {name: value for name, value in counts.items() if not name.startswith("@")}
    ranks = {name.split("/")[0] for name in counts if name.startswith("@")}
    if len(ranks) == shard.count:
        return {name: counts[f"@{shard.index}/{name}"] for name in pooled}
    if shard.index == 0:
        return pooled
    return {name: value if name in _OF_STEPS else 0.0 for name, value in pooled.items()}
