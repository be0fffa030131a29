"""The losses of the labels: each backend against NumPy, against PyTorch's own, and by hand."""

from pathlib import Path

import numpy as np
import pytest

from poc.tests.conftest import start_worker, write_interpreter
from poc.tests.helpers.workers import loss_probe
from poc.tests.reference import losses as reference
from poc.tests.reference.distillation_losses import gradients

TOLERANCE = 1e-12  # float64: rounding of a few terms
WEIGHTS = [0.5, 3.0, 1.25, 0.0]
# Settings `loss` of which every row is judged below; a new option joins with its row.
CROSS_ENTROPY = {
    "plain": {},
    "smoothing": {"label_smoothing": 0.1},
    "weights": {"class_weights": WEIGHTS},
    "weights and smoothing": {"class_weights": WEIGHTS, "label_smoothing": 0.3},
}
FOCAL = {
    "focal": {"name": "focal"},
    "focal 0": {"name": "focal", "focal_gamma": 0.0},
    "focal 0.5 and weights": {"name": "focal", "focal_gamma": 0.5, "class_weights": WEIGHTS},
    "focal 5 and weights": {"name": "focal", "focal_gamma": 5.0, "class_weights": WEIGHTS},
}
LOSSES = {**CROSS_ENTROPY, **FOCAL}
BINARY = {"name": "binary_cross_entropy"}
generator = np.random.default_rng(0)
LOGITS = 3 * generator.normal(size=(7, 4))
DIRECTION = generator.normal(size=(7, 4))
HARD = np.array([0, 1, 2, 3, 1, 1, 0])
SOFT = generator.dirichlet(np.ones(4), 7)
SETS = generator.integers(0, 2, (7, 4)).astype(float)


@pytest.fixture(scope="module")
def start_probe(tmp_path_factory):
    """Starts a worker with the operations of `loss_probe.py`."""

    def start(backend):
        folder = tmp_path_factory.mktemp(f"{backend}_losses")
        interpreter = write_interpreter(folder / "python", Path(loss_probe.__file__))
        variable = f"POC_{backend.upper()}_PYTHON"
        return start_worker(backend, folder, **{variable: str(interpreter)})

    return start


@pytest.fixture(scope="module")
def own(backend, start_probe):
    with start_probe(backend) as worker:
        yield worker


@pytest.fixture(scope="module")
def stock(start_probe):
    with start_probe("torch") as worker:
        yield worker


def evaluate(worker, loss, logits=LOGITS, labels=HARD, **arguments):
    arguments = {"direction": DIRECTION, **arguments}
    return worker.call(loss_probe.hard_loss, loss=loss, logits=logits, labels=labels, **arguments)


def assert_close(found, expected, tolerance=TOLERANCE):
    assert np.isfinite(found).all()
    assert found.shape == np.shape(expected)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(found - expected).max() <= tolerance * scale


def check(found, labels, loss):
    """Shares, their mean and its gradient are those of the reference."""
    assert_close(found["shares"], reference.shares(LOGITS, labels, **loss))
    assert_close(found["shares"].mean(), reference.hard_loss(LOGITS, labels, **loss))

    def batch_loss(logits):
        return reference.hard_loss(logits, labels, **loss)

    assert_close(found["gradient"], gradients(batch_loss, [LOGITS], 1.0)[0])


@pytest.mark.parametrize("row", LOSSES)
def test_it_is_the_reference(own, row):
    check(evaluate(own, LOSSES[row]), HARD, LOSSES[row])


@pytest.mark.parametrize("row", CROSS_ENTROPY)
def test_soft_labels_are_the_reference(own, row):
    check(evaluate(own, CROSS_ENTROPY[row], labels=SOFT), SOFT, CROSS_ENTROPY[row])


@pytest.mark.parametrize("labels", [SETS, SOFT], ids=["sets", "mixed"])
def test_any_number_of_labels_is_the_reference(own, labels):
    check(evaluate(own, BINARY, labels=labels), labels, BINARY)


def test_any_number_of_labels_by_hand(own):
    """p = 1/2 and 3/4: (log 2 + log 4) / 2 if the second label is absent; no overflow at 1000."""
    logits = np.array([[0.0, np.log(3.0)], [1000.0, -1000.0]])
    labels, direction = np.array([[1.0, 0.0], [1.0, 1.0]]), np.zeros((2, 2))
    found = evaluate(own, BINARY, logits, labels, direction=direction)
    assert_close(found["shares"], np.array([np.log(8.0) / 2, 500.0]))


@pytest.mark.torch
def test_any_number_of_labels_is_pytorch_s_own(own, stock):
    expected = stock.call(loss_probe.stock_loss, loss=BINARY, logits=LOGITS, labels=SETS)
    found = evaluate(own, BINARY, labels=SETS)
    assert_close(found["shares"].mean(), expected["value"])
    assert_close(found["gradient"], expected["gradient"])


@pytest.mark.torch
@pytest.mark.parametrize("labels", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("row", CROSS_ENTROPY)
def test_it_is_pytorch_s_own(own, stock, row, labels):
    expected = stock.call(
        loss_probe.stock_loss, loss=CROSS_ENTROPY[row], logits=LOGITS, labels=labels
    )
    found = evaluate(own, CROSS_ENTROPY[row], labels=labels)
    assert_close(found["shares"].mean(), expected["value"])
    assert_close(found["gradient"], expected["gradient"])


@pytest.mark.parametrize("row", [row for row in LOSSES if "smoothing" not in row])
def test_second_derivatives_are_the_reference(own, row):
    """Of which l2t-ww takes its hyper-gradient."""
    loss = LOSSES[row]
    found = evaluate(own, loss)
    # The gradient by hand is that of complex steps, and so its derivative can be trusted.
    assert_close(found["gradient"], reference.gradient(LOGITS, HARD, **loss))
    assert_close(found["curvature"], reference.curvature(LOGITS, HARD, DIRECTION, **loss))
    assert np.abs(found["curvature"]).max() > 1e-3


def test_second_derivatives_of_smoothed_labels(own):
    """Linear in the labels: a smoothed one is a mean of hard ones, each with its own divisor."""
    loss = CROSS_ENTROPY["weights and smoothing"]
    smoothing, divisor = loss["label_smoothing"], np.array(WEIGHTS)[HARD].sum()
    total = np.zeros_like(LOGITS)
    for label, weight in enumerate(WEIGHTS):
        rows = reference.curvature(LOGITS, np.full(7, label), DIRECTION) * 7
        share = (1 - smoothing) * (label == HARD) + smoothing / 4
        total += (weight * share / divisor)[:, None] * rows
    assert_close(evaluate(own, loss)["curvature"], total)


def test_weights_by_hand(own):
    """Two examples of weights 1 and 3, of losses log 2 and log 4 - log 3: (log 2 + 3 x) / 4."""
    logits = np.array([[0.0, 0.0], [0.0, np.log(3.0)]])
    found = evaluate(
        own,
        {"class_weights": [1.0, 3.0]},
        logits=logits,
        labels=np.array([0, 1]),
        direction=np.zeros((2, 2)),
    )
    losses = np.log(2.0), np.log(4.0) - np.log(3.0)
    assert_close(found["shares"].mean(), (losses[0] + 3 * losses[1]) / 4)
    # Divided by the number of examples, as Keras divides, it would be twice as large.
    assert_close(found["shares"], np.array([losses[0], 3 * losses[1]]) / 2)


def test_focal_by_hand(own):
    """p = 3/4: (1/4)^2 log(4/3); p = 1/2: 1/4 log 2."""
    logits = np.array([[0.0, np.log(3.0)], [0.0, 0.0]])
    labels, direction = np.array([1, 0]), np.zeros((2, 2))
    found = evaluate(own, {"name": "focal"}, logits, labels, direction=direction)
    assert_close(found["shares"], np.array([np.log(4 / 3) / 16, np.log(2.0) / 4]))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_at_sure_and_at_wrong_answers(own, gamma, precision):
    """p is 1 or 0 to the last bit; in between, where 1 - p has few bits left."""
    logits = np.zeros((5, 3))
    logits[:, 0] = [100.0, -100.0, 17.0, 40.0, 0.0]
    labels = np.zeros(5, dtype=np.int64)
    loss = {"name": "focal", "focal_gamma": gamma}
    found = evaluate(
        own, loss, logits.astype(precision), labels, precision=precision, direction=logits * 0
    )
    expected = np.zeros(5)
    for row, value in enumerate(logits[:, 0]):
        log_p = -np.logaddexp(0, np.log(2) - value)
        expected[row] = np.exp(gamma * (np.log(2) - value + log_p)) * -log_p
    # Where p is near 1 the cross-entropy itself has the rounding of 1; where it is near 0, of 100.
    rounding = 1e-5 if precision == "float32" else 1e-13
    assert np.isfinite(found["shares"]).all()
    assert np.abs(found["shares"] - expected).max() < rounding
    assert found["shares"][1] == pytest.approx(100 + np.log(2), rel=1e-6)
    assert found["shares"][0] == pytest.approx(0, abs=1e-30)
    for name in ("gradient", "curvature"):
        assert np.isfinite(found[name]).all(), name
    # A wrong answer pulls at its label with the full strength, a sure one not at all.
    assert found["gradient"][1, 0] == pytest.approx(-1 / 5, rel=1e-6)
    assert np.abs(found["gradient"][0]).max() < 1e-30


def test_a_batch_without_weight_has_the_loss_0(own):
    """PyTorch gives 0 / 0 there, which would end the run."""
    found = evaluate(own, {"class_weights": WEIGHTS}, labels=np.full(7, 3))
    assert not found["shares"].any()
    assert not found["gradient"].any()


def test_a_mean_over_examples_is_found(own):
    """What Keras does with weights of the examples: the test above sees it."""
    loss = CROSS_ENTROPY["weights"]
    found = evaluate(own, loss)
    spoilt = {**found, "shares": found["shares"] * np.array(WEIGHTS)[HARD].mean()}
    with pytest.raises(AssertionError):
        check(spoilt, HARD, loss)
