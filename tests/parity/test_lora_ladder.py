"""The parity ladder with LoRA: small networks with dropout, stochastic depth and LayerScale on."""

import pytest

from poc.shared.analysis.parity.ladder import Ladder
from poc.tests.backends.test_lora import draw_batches
from poc.tests.helpers.architectures.table import ARCHITECTURES

RANK = {"rank": 2, "alpha": 3.0}
# Row of the architectures -> targets.
ROWS = {
    "vit_ti16": ["attention", "dense"],
    "dinov2_s14": ["*/query", "*/value"],
    "convnext_tiny whole branches": ["conv"],
    # Batch norms stand still, dropout does not.
    "lightnet_plain mnist conv2d": ["conv"],
}


@pytest.mark.parity
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("row", ROWS)
def test_both_backends_climb(row, precision, workers):
    """Beside a frozen body, whose random layers act behind the first term."""
    lora = {**RANK, "targets": ROWS[row]}
    run = ARCHITECTURES[row].small_run(precision, method="transfer", lora=lora)
    rungs = Ladder(run, *workers).climb(draw_batches(run, 8))
    assert len(rungs) == 9
    assert [rung.failure for rung in rungs if not rung.is_passed] == []
    steps = [rung for rung in rungs if " steps: " in rung.name]
    assert all(rung.self_difference > 0 for rung in steps)
