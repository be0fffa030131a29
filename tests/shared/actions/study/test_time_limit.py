"""A worker is killed when its time is over, and left alone if it ends before."""

import signal
import time

from poc.shared.actions.study.time_limit import limited
from poc.shared.engine.worker.interruption import LIVE


class StandIn:
    """A worker that notes its signals."""

    def __init__(self):
        self.signals = []
        LIVE.add(self)

    def interrupt(self, number):
        self.signals.append(number)


def test_a_worker_that_takes_too_long_is_killed():
    worker = StandIn()
    with limited(0.05) as limit:
        for _ in range(200):
            if worker.signals:
                break
            time.sleep(0.05)
    LIVE.discard(worker)
    assert limit.is_over
    assert signal.SIGKILL in worker.signals


def test_a_worker_that_ends_in_time_is_not():
    worker = StandIn()
    with limited(60) as limit:
        pass
    LIVE.discard(worker)
    assert not limit.is_over
    assert worker.signals == []


def test_an_import_that_is_not_counted_does_not_end_a_cell():
    """The import goes on for longer than the limit, and ends; then the time of the cell begins."""
    worker, began, has_ended = StandIn(), time.monotonic(), []

    def count_free():
        return has_ended[0] if has_ended else time.monotonic() - began

    with limited(0.1, count_free) as limit:
        time.sleep(0.4)
        early = list(worker.signals)
        has_ended.append(time.monotonic() - began)
        for _ in range(200):
            if worker.signals:
                break
            time.sleep(0.05)
    LIVE.discard(worker)
    assert early == []
    assert limit.is_over
    assert signal.SIGKILL in worker.signals
