"""The parity ladder for the options of the methods with a source, with dropout on.

The table of methods (test_ladder.py) climbs every method's defaults; here stand the forms that the
defaults leave out.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.engine.worker.handle import Worker
from poc.shared.spec.run import RunSpec

OPTIONS = {"layer": "conv2d", "widths": [4, 6], "dropout": 0.25}
SOURCE = {"model": {"name": "lightnet_residual", "options": {"widths": [3, 5, 4]}}}
ROWS = {
    "kd additive": (
        "kd",
        {"mixing": "additive", "soft_loss": "cross_entropy", "scale_by_temperature_squared": False},
        SOURCE,
    ),
    "lwf original": ("lwf", {}, {"num_classes": 5}),
    "lwf cross": ("lwf", {"form": "cross_architecture"}, {**SOURCE, "num_classes": 5}),
    "fitnets two": ("fitnets", {"pairs": ["block3>block1"]}, SOURCE),
    "fitnets one": ("fitnets", {"stages": "one", "pairs": ["block1>block2"]}, SOURCE),
    "fitnets repdistiller": (
        "fitnets",
        {
            "stages": "one",
            "regressor": "repdistiller",
            "pairs": ["block2>block1"],
            "soft_weights": [2, 1],
        },
        SOURCE,
    ),
    "attention code": (
        "attention_transfer",
        {"map": "sum", "pairs": ["block1>block2", "block2>block1"]},
        SOURCE,
    ),
    "attention paper": (
        "attention_transfer",
        {
            "form": "paper",
            "map": "max_p",
            "alpha": 0.5,
            "size_rule": "resize_source",
            "pairs": ["block1>block2", "block1/conv2>block1/conv1"],
        },
        SOURCE,
    ),
    "semckd": ("semckd", {}, SOURCE),
    "semckd without a soft loss": (
        "semckd",
        {
            "layer_reduction": "sum",
            "beta": 3.0,
            "soft_weight": 0.0,
            "source_taps": ["block2", "block3"],
            "target_taps": ["block1/conv1", "block1"],
            "row_length": 70,
            "embedding_size": 5,
            "hidden_factor": 3,
            "projection_factor": 1,
            "attention_temperature": 0.2,
        },
        SOURCE | {"num_classes": 5},
    ),
}
# Forms of transfer learning, which has no source: option sets of the two methods.
TUNED = {
    "transfer one block": ("transfer", {"trained_blocks": 1, "body_rate": 0.3}),
    "transfer all norms": ("transfer", {"trained_blocks": 1, "bn_mode": "adapt_all"}),
    "transfer last statistics": ("transfer", {"bn_mode": "adapt_last_stats"}),
    "transfer last affine": ("transfer", {"trained_blocks": "all", "bn_mode": "adapt_last_affine"}),
    "fixres": (
        "fixres",
        {"train_size": 9, "test_size": 12, "trained_blocks": "all", "bn_mode": "adapt_all"},
    ),
}
generator = np.random.default_rng(0)
BATCHES = [
    {
        "images": generator.normal(size=(8, 12, 10, 2)).astype(np.float32),
        "labels": generator.integers(0, 3, 8),
    }
    for _ in range(2)
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Iterator[tuple[Worker, Worker]]:
    folder = tmp_path_factory.mktemp("ladder")
    with Worker("tf", log=folder / "tf") as first, Worker("torch", log=folder / "torch") as second:
        yield first, second


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_both_backends_climb(pair, row):
    method, options, source = ROWS[row]
    climb(pair, method, options, teacher=source)


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("row", TUNED)
def test_both_backends_climb_what_is_tuned(pair, row):
    climb(pair, *TUNED[row])


def climb(pair, method, options, **fields):
    run = RunSpec.parse(
        {
            **fields,
            "method": method,
            "method_options": options,
            "model": {"name": "lightnet_plain", "options": OPTIONS},
            "input_shape": [12, 10, 2],
            "num_classes": 3,
            "precision": "float64",
        },
        "",
    )
    rungs = Ladder(run, *pair).climb(BATCHES)
    assert len(rungs) == 9 * len(run.stages)
    broken = [rung for rung in rungs if not rung.is_passed]
    assert not broken, broken[0]
