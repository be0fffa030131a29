"""Several processes compute what one computes: the real gradient and the real steps, in float64.

A convolution-batch norm-dropout net, batches of 7, 7 and 1 examples, 20 steps across a drop of the
rate. The first part of 7 in 2 has 4 examples, of 1 in 3 some ranks have none.
"""

import numpy as np
import pytest

from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import resolve_networks
from poc.tests.helpers.workers.rank_workers import call_all, open_ranks

RATES = [0.05] * 10 + [0.005] * 10
NET = ["method=lightlayers", "model.name=lightnet_plain", "k=2", "dropout=0.3", "widths=[4,6]"]
SETTINGS = {
    "adam": [],
    "momentum, decayed and clipped": [
        "optimizer.name=sgd",
        "optimizer.momentum=0.9",
        "optimizer.weight_decay=0.01",
        "optimizer.clip_norm=0.5",
    ],
    "grouped and averaged": ["accumulation_steps=2", "ema.decay=0.9"],
    "weighted classes": ["loss.class_weights=[1.0,2.0,0.5]"],
}
# Sums in another order, in float64: one process and several differ by rounding alone.
GRADIENTS, WEIGHTS = 1e-10, 1e-9


def resolved(backend, *settings):
    assignments = [f"backend={backend}", "precision=float64", *NET, *settings]
    return resolve_networks(load_run(None, assignments, input_shape=(8, 8, 3), num_classes=3))


def batch(size, seed):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(size, 8, 8, 3)).astype(np.float32)
    return {"images": images, "labels": rng.integers(0, 3, size)}


BATCHES = [batch(7, 0), batch(7, 1), batch(1, 2)]


def arguments(backend, settings):
    run = resolved(backend, *settings)
    weights = draw_weights(run.trained_network.parameters, 0)
    return {"run": run.spec.model_dump(mode="json"), "weights": weights}


def compute(call, backend, settings):
    """Gradients of a batch, and 20 steps: of one worker, or of all ranks."""
    given = arguments(backend, settings)
    gradients = call(Operations.loss_and_gradients, **given, batch=BATCHES[0], step=3)
    steps = call(Operations.train_steps, **given, batches=BATCHES, learning_rates=RATES)
    return gradients, steps


def assert_near(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.isfinite(found[name]).all(), name
        # Of a cancelled bias the gradient and its slots are 0 on both sides.
        scale = np.abs(value).max()
        assert np.abs(found[name] - value).max() <= tolerance * max(scale, 1e-6), name


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def ranks(request, backend, tmp_path_factory):
    with open_ranks(backend, request.param, tmp_path_factory.mktemp("ranks")) as workers:
        yield workers


@pytest.fixture(scope="module")
def alone(backend, tmp_path_factory):
    with Worker(backend, log=tmp_path_factory.mktemp("one") / "log") as worker:
        yield worker


@pytest.mark.parametrize("name", SETTINGS)
def test_ranks_compute_what_one_process_computes(backend, alone, ranks, name):
    def call(*given, **named):
        return call_all(ranks, *given, **named)

    gradients, steps = compute(alone.call, backend, SETTINGS[name])
    found = compute(call, backend, SETTINGS[name])
    for own_gradients, own_steps in zip(*found, strict=True):
        assert own_gradients["loss"] == pytest.approx(gradients["loss"], rel=GRADIENTS)
        assert_near(own_gradients["gradients"], gradients["gradients"], GRADIENTS)
        np.testing.assert_allclose(own_steps["losses"], steps["losses"], rtol=WEIGHTS)
        # The running statistics are among the weights.
        assert_near(own_steps["weights"], steps["weights"], WEIGHTS)
        assert_near(own_steps["state"], steps["state"], WEIGHTS)
    # Every rank has the same bits, so that rank 0 may write for all.
    first, *others = (each["weights"] for each in found[1])
    for other in others:
        assert all(np.array_equal(other[key], value) for key, value in first.items())


def test_statistics_of_the_own_part_differ(backend, alone, ranks):
    """The test above would see batch norms that normalise by each rank's part."""
    settings = ["batch_norm_sync=local"]
    expected = compute(alone.call, backend, settings)[1]["weights"]
    found = call_all(
        ranks,
        Operations.train_steps,
        **arguments(backend, settings),
        batches=BATCHES,
        learning_rates=RATES,
    )
    moving = [name for name in expected if name.endswith("moving_variance")]
    first, *others = (each["weights"] for each in found)
    assert any(np.abs(first[name] - expected[name]).max() > 1e-3 for name in moving)
    for other in others:
        assert all(np.array_equal(other[key], value) for key, value in first.items())
        assert all(np.isfinite(value).all() for value in other.values())
