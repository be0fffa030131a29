"""Soft labels: each backend against NumPy, then against the other; and runs that need them."""

import numpy as np
import pytest

from poc.shared.engine.numerics.metrics import average_views, log_softmax
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network

pytestmark = [pytest.mark.tf, pytest.mark.torch, pytest.mark.parity]
BACKENDS = ("tf", "torch")


@pytest.fixture(scope="module")
def workers():
    with Worker("tf") as first, Worker("torch") as second:
        yield {"tf": first, "torch": second}


def make_case(precision):
    run = load_run(
        None,
        ["k=2", f"precision={precision}"],
        input_shape=(8, 8, 1),
        num_classes=4,
    )
    generator = np.random.default_rng(0)
    images = generator.random((6, 8, 8, 1)).astype(np.float32)
    soft = generator.dirichlet(np.ones(4), 6).astype(np.float32)
    return run, draw_weights(declare_network(run).parameters, 0), images, soft


def call(worker, backend, operation, run, **arguments):
    spec = run.replace(backend=backend).model_dump(mode="json")
    return worker.call(operation, run=spec, **arguments)


@pytest.mark.parametrize("backend", BACKENDS)
def test_soft_loss_is_that_of_numpy(workers, backend):
    """The loss is linear in the labels, so soft ones are the mean over hard ones."""
    run, weights, images, soft = make_case("float64")

    def loss(labels):
        batch = {"images": images, "labels": labels}
        return call(
            workers[backend],
            backend,
            Operations.loss_and_gradients,
            run,
            weights=weights,
            batch=batch,
        )["loss"]

    hard = [loss(np.full(6, label, dtype=np.int64)) for label in range(4)]
    one_label = np.tile(np.float32([0.1, 0.2, 0.3, 0.4]), (6, 1))
    expected = sum(
        share * value for share, value in zip(one_label[0].astype(float), hard, strict=True)
    )
    assert loss(one_label) == pytest.approx(expected, rel=1e-12)
    one_hot = np.eye(4, dtype=np.float32)[[0, 3, 2, 1, 1, 0]]
    assert loss(one_hot) == pytest.approx(loss(np.array([0, 3, 2, 1, 1, 0])), rel=1e-12)
    assert np.isfinite(loss(soft))


def test_backends_agree_on_soft_labels(workers):
    run, weights, images, soft = make_case("float64")
    batch = {"images": images, "labels": soft}
    first, second = (
        call(workers[name], name, Operations.loss_and_gradients, run, weights=weights, batch=batch)
        for name in BACKENDS
    )
    # float64 leaves rounding alone (CONTRIBUTING: gradients 1e-10).
    assert first["loss"] == pytest.approx(second["loss"], rel=1e-10)
    for name, gradient in first["gradients"].items():
        assert np.isfinite(gradient).all(), name
        np.testing.assert_allclose(
            gradient, second["gradients"][name], rtol=1e-10, atol=1e-12, err_msg=name
        )


MIXED = [
    "k=1",
    "num_epochs=1",
    "data.batch_size=32",
    "split.train_per_class=8",
    "train_view.mixup=0.4",
    "train_view.horizontal_flip=0.5",
    "data.image_size=[20, 20]",
    "eval_view.crop=five",
]


def test_a_mixed_run_with_five_crops(workers, tmp_path):
    rows = {}
    for name in BACKENDS:
        run = load_run(None, MIXED, backend=name)
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        rows[name] = workers[name].call(
            Operations.train,
            run=run.model_dump(mode="json"),
            folder=str(folder),
            command="test",
            save_every="10min",
        )
        predictions = np.load(folder / "predictions.npz")
        assert predictions["logits"].shape == (1000, 10)
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == 1
    for key in ("train_loss", "test_loss"):
        assert np.isfinite(rows["tf"][key])
        # Two steps in float32.
        assert rows["tf"][key] == pytest.approx(rows["torch"][key], rel=1e-3)


def test_averages_of_crops_by_hand():
    logits = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0], [3.0, 1.0]])
    assert average_views(logits, 1, "softmax") is logits
    assert average_views(logits, 2, "logits").tolist() == [[1.0, 0.5], [2.0, 1.0]]
    mean = np.exp(log_softmax(logits)).reshape(2, 2, 2).mean(axis=1)
    np.testing.assert_allclose(np.exp(average_views(logits, 2, "softmax")), mean, rtol=1e-12)
