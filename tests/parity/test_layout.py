"""PyTorch in the layout that is not its default, against TensorFlow."""

import pytest

from poc.shared.actions.comparison import read_batches
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.reading.small_forms import load_parity_run

# Without a teacher and with one.
FAST = ("lightlayers", "kd")


@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in METHODS],
)
def test_the_other_layout_computes_the_same(method, workers):
    run, batches = read_batches(load_parity_run(None, [f"method={method}", "precision=float64"])[0])
    changes = {"torch": {"layout": "channels_first"}}
    rungs = Ladder(run, *workers, changes).climb(batches)
    assert [rung.name for rung in rungs if not rung.is_passed] == []
