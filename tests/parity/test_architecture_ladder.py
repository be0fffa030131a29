"""Every rung of the parity ladder on the small forms that are climbed whole, with noise."""

import numpy as np
import pytest

from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.engine.worker.handle import Worker
from poc.tests.helpers.architectures.table import SMALL_CASES, small_forms

BATCH, NUM_BATCHES = 8, 2


@pytest.fixture(scope="module")
def workers():
    with Worker("tf") as first, Worker("torch") as second:
        yield first, second


def draw_batches(case):
    generator = np.random.default_rng(5)
    return [
        {
            "images": generator.normal(size=(BATCH, *case.input_shape)).astype(np.float32),
            "labels": generator.integers(0, case.num_classes, BATCH),
        }
        for _ in range(NUM_BATCHES)
    ]


@pytest.mark.parity
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if small.is_slow else [])
        for name, small in small_forms("whole").items()
    ],
)
def test_every_rung_holds(name, precision, workers):
    case = SMALL_CASES[name]
    run = case.run(precision=precision)
    rungs = Ladder(run, *workers).climb(draw_batches(case))
    assert len(rungs) == 8
    for rung in rungs:
        assert rung.is_passed, f"{rung.name}: {rung.worst} differs by {rung.error:.1e}"
