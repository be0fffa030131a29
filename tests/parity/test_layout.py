"""PyTorch in the layout that is not its default, against TensorFlow."""

import pytest

from poc.shared.actions.comparison import read_batches
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.spec.reading.small_forms import load_parity_run


@pytest.mark.parametrize("method", ["lightlayers", "kd"])
def test_the_other_layout_computes_the_same(method, workers):
    run, batches = read_batches(load_parity_run(None, [f"method={method}", "precision=float64"])[0])
    changes = {"torch": {"layout": "channels_first"}}
    rungs = Ladder(run, *workers, changes).climb(batches)
    assert [rung.name for rung in rungs if not rung.is_passed] == []
