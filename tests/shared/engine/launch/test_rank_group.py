"""Ranks as one worker: one answer, the same bits from all; one that fails ends the others."""

import time
from concurrent.futures import Future

import numpy as np
import pytest

from poc.shared.engine.launch import rank_workers
from poc.shared.engine.launch.rank_group import RankGroup, find_difference
from poc.shared.engine.worker.handle import WorkerCrashed
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import CheckFailed


class Stub:
    """A rank that answers, raises, or waits until it is killed."""

    def __init__(self, answer):
        self.answer, self.killed = answer, Future()

    def call(self, operation, **arguments):
        if self.answer == "waits":
            self.killed.result(timeout=30)
            raise WorkerCrashed("the stub worker died with exit status -9")
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def kill(self):
        if not self.killed.done():
            self.killed.set_result(None)


def call(*answers):
    return RankGroup([Stub(answer) for answer in answers]).call(Operations.describe)


def test_all_give_one_answer():
    answer = {"loss": 0.5, "weights": {"a": np.ones(2)}}
    assert call(answer, {"loss": 0.5, "weights": {"a": np.ones(2)}}) is answer


def test_other_bits_are_named():
    first, second = np.ones(2), np.array([1.0, np.nextafter(1.0, 2.0)])
    with pytest.raises(CheckFailed, match=r"from rank 2 than from rank 0, the first in weights/a"):
        call(*({"weights": {"a": value}} for value in (first, first, second)))


def test_a_dead_rank_ends_the_others_and_is_named(monkeypatch):
    monkeypatch.setattr(rank_workers, "SECONDS_TO_SETTLE", 0.2)
    started = time.monotonic()
    with pytest.raises(WorkerCrashed, match=r"^rank 1 of 2, the tf worker died"):
        call("waits", WorkerCrashed("the tf worker died with exit status -9"))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("first", "second", "where"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0]}, ""),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}, "a/1"),
        ({"a": float("nan")}, {"a": float("nan")}, ""),
        ({"a": 1.0}, {"b": 1.0}, "names"),
        ([1], [1, 2], "numbers of values"),
        (np.zeros(1, np.float32), np.zeros(1), "the answer"),
    ],
)
def test_differences(first, second, where):
    assert find_difference(first, second) == where
