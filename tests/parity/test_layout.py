"""PyTorch in the layout that is not its default, against TensorFlow."""

import pytest

from poc.shared.analysis.parity import Ladder
from poc.tests.parity.test_ladder import ROWS, draw_batches, make_run


@pytest.mark.parametrize("row", ["lightlayers-float64", "kd-float64"])
def test_the_other_layout_computes_the_same(row, workers):
    run = make_run(**ROWS[row])
    changes = {"torch": {"layout": "channels_first"}}
    rungs = Ladder(run, *workers, changes).climb(draw_batches(run))
    assert [rung.name for rung in rungs if not rung.is_passed] == []
