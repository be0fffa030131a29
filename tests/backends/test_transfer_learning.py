"""What transfer learning moves and what it leaves, tensor by tensor, in each backend's trainer."""

from collections.abc import Iterator

import numpy as np
import pytest

from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.handle import Worker
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.tests.helpers.workers import transfer_probe
from poc.tests.helpers.workers.transfer_probe import open_probe

NET = {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [3, 4], "dropout": 0.25}}
SHAPE = [10, 9, 2]
generator = np.random.default_rng(0)
BATCHES = [
    {
        "images": generator.normal(size=(6, *SHAPE)).astype(np.float32),
        "labels": generator.integers(0, 3, 6),
    }
    for _ in range(3)
]
HEAD = {"head/kernel", "head/bias"}
NORMS = ("block1/norm1", "block1/norm2", "block2/norm1", "block2/norm2")
LAST = NORMS[-1]


def statistics(*norms):
    return {f"{norm}/{part}" for norm in norms for part in ("moving_mean", "moving_variance")}


def affine(*norms):
    return {f"{norm}/{part}" for norm in norms for part in ("gamma", "beta")}


# A convolution's bias that a norm subtracts again does not move: docs/decisions/0003.
BLOCK2 = {"block2/conv1/kernel", "block2/conv2/kernel"}
BLOCK2_BIASES = {"block2/conv1/bias", "block2/conv2/bias"}
# (bn_mode, trained_blocks) -> every tensor that moves.
MOVED = {
    ("frozen", 0): HEAD,
    ("frozen", 1): HEAD | BLOCK2 | BLOCK2_BIASES,
    ("adapt_all", 0): HEAD | statistics(*NORMS),
    ("adapt_all", 1): HEAD | statistics(*NORMS) | BLOCK2 | affine(*NORMS[2:]),
    ("adapt_last_stats", 0): HEAD | statistics(LAST),
    ("adapt_last_stats", 1): HEAD | statistics(LAST) | BLOCK2 | {"block2/conv1/bias"},
    ("adapt_last_affine", 0): HEAD | statistics(LAST) | affine(LAST),
    ("adapt_last_affine", 1): HEAD
    | statistics(LAST)
    | affine(LAST)
    | BLOCK2
    | {"block2/conv1/bias"},
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("tf", marks=pytest.mark.tf),
        pytest.param("torch", marks=pytest.mark.torch),
    ],
)
def probe(request, tmp_path_factory) -> Iterator[Worker]:
    with open_probe(request.param, tmp_path_factory.mktemp(request.param)) as worker:
        yield worker


def make_run(method="transfer", stage="", optimizer="sgd", **options):
    return RunSpec.parse(
        {
            "method": method,
            "method_options": options,
            "model": NET,
            "input_shape": SHAPE,
            "num_classes": 3,
            "precision": "float64",
            "optimizer": {"name": optimizer},
            "stage": stage,
        },
        "",
    )


def perturbed(run):
    """Starting weights at which every tensor acts, and would move if it were let."""
    draw = np.random.default_rng(1)
    return {
        name: value + draw.uniform(0.05, 0.1, value.shape)
        for name, value in starting_weights(resolve_networks(run)).items()
    }


def walk(probe, run, keep=False):
    return probe.call(
        transfer_probe.walk,
        run={**run.model_dump(mode="json"), "backend": probe.backend},
        weights=perturbed(run),
        batches=BATCHES,
        extras={},
        keep=keep,
    )["weights"]


def moved(run, weights):
    before = perturbed(run)
    return {name for name, value in weights.items() if (value != before[name]).any()}


@pytest.mark.parametrize(("mode", "blocks"), MOVED)
def test_exactly_the_promised_tensors_move(probe, mode, blocks):
    run = make_run(bn_mode=mode, trained_blocks=blocks)
    assert moved(run, walk(probe, run)) == MOVED[mode, blocks]


def test_with_all_blocks_everything_moves_that_can(probe):
    run = make_run(bn_mode="adapt_all", trained_blocks="all")
    names = {parameter.name for parameter in declare_network(run).parameters}
    assert names - moved(run, walk(probe, run)) == declare_network(run).cancelled_biases


def test_the_second_phase_of_fixres_leaves_every_other_weight_bit_equal(probe):
    run = make_run("fixres", "finetune", trained_blocks="all", bn_mode="adapt_all")
    assert moved(run, walk(probe, run)) == MOVED["adapt_last_affine", 0]


@pytest.mark.parametrize(
    ("mode", "blocks"), [("frozen", 0), ("frozen", 1), ("adapt_last_affine", 0)]
)
def test_kept_values_give_the_same_weights_as_computed_ones(probe, mode, blocks):
    run = make_run(bn_mode=mode, trained_blocks=blocks, optimizer="adam")
    live, kept = walk(probe, run), walk(probe, run, keep=True)
    for name, value in live.items():
        np.testing.assert_allclose(kept[name], value, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_each_group_has_its_own_rate(probe, optimizer):
    """One step of a body at half the rate moves it half as far."""
    first = {"bn_mode": "frozen", "trained_blocks": 1, "optimizer": optimizer}
    full, half = make_run(**first), make_run(**first, body_rate=0.5)
    start = perturbed(full)
    ends = [
        probe.call(
            transfer_probe.walk,
            run={**run.model_dump(mode="json"), "backend": probe.backend},
            weights=start,
            batches=BATCHES[:1],
            extras={},
        )["weights"]
        for run in (full, half)
    ]
    for name, factor in (("block2/conv1/kernel", 0.5), ("head/kernel", 1.0)):
        steps = [end[name] - start[name] for end in ends]
        np.testing.assert_allclose(steps[1], factor * steps[0], rtol=1e-9, atol=1e-15)
