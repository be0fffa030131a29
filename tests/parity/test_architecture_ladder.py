"""Every rung of the parity ladder on the small forms that are climbed whole, with noise."""

import numpy as np
import pytest

from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.engine.worker.handle import Worker
from poc.tests.helpers.architectures.table import ARCHITECTURES, ladder_rows

BATCH, NUM_BATCHES = 8, 2


@pytest.fixture(scope="module")
def workers():
    with Worker("tf") as first, Worker("torch") as second:
        yield first, second


def draw_batches(run):
    generator = np.random.default_rng(5)
    return [
        {
            "images": generator.normal(size=(BATCH, *run.input_shape)).astype(np.float32),
            "labels": generator.integers(0, run.num_classes, BATCH),
        }
        for _ in range(NUM_BATCHES)
    ]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "precision"), ladder_rows("whole"))
def test_every_rung_holds(name, precision, workers):
    run = ARCHITECTURES[name].small_run(precision)
    rungs = Ladder(run, *workers).climb(draw_batches(run))
    assert len(rungs) == 9
    unjudged = [rung for rung in rungs if not rung.is_judged]
    allowed = ARCHITECTURES[name].small.unjudged if precision == "float32" else ()
    assert {rung.name.split()[1] for rung in unjudged} <= set(allowed)
    for rung in rungs:
        if rung in unjudged:
            continue
        assert rung.is_passed, f"{rung.name}: {rung.worst} differs by {rung.error:.1e}"
