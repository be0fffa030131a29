"""Chaos is told from error: by hand, on programs of one line that stand in for the backends.

A program repels its weights from 1: w += rate * push * (w - 1). Weights of exactly 1 stay, and
those that are one unit in the last place away are carried off by a factor of 1 + rate * push a
step.
"""

import math

import numpy as np
import pytest

from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.analysis.parity.rungs import Rung
from poc.shared.analysis.parity.trajectories import (
    RATES,
    Steps,
    milder_steps,
    move_weights,
    scale_steps,
)
from poc.shared.commands.options import judge
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import CheckFailed
from poc.shared.spec.networks.layers.declaration import ZEROS, Parameter
from poc.shared.spec.run import RunSpec

# The bias falls by the rate a step.
START = {"head/kernel": np.ones(3), "head/bias": np.full(2, 0.01)}
ULP = 2.0**-52
BATCHES = [{"images": np.ones((2, 4, 4, 1), np.float32), "labels": np.zeros(2, np.int64)}]


class Program:
    """What a backend computes; `error` is added to every gradient."""

    def __init__(self, push=0.0, error=0.0, end=None):
        self.push, self.error, self.end = push, error, end
        self.asked = []

    def call(self, operation, *, weights, run, learning_rates=(), **arguments):
        self.asked.append((operation.__name__, len(learning_rates), run["precision"]))
        value, bias = (weights[name].astype(run["precision"]) for name in START)
        if operation is Operations.loss_and_gradients:
            return {"loss": 1.0, "gradients": {"head/kernel": np.full(3, self.error)}}
        with np.errstate(over="ignore", invalid="ignore"):
            for rate in learning_rates:
                value = value + rate * (self.push * (value - 1) + self.error)
        if self.end is not None:
            value = np.full(3, self.end)
        bias = bias - sum(learning_rates)
        return answer(value, bias, len(learning_rates))


def answer(value, bias, count):
    weights = {"head/kernel": value, "head/bias": bias}
    return {"losses": [float(value[0])] * count, "weights": weights, "state": {}}


class Trained:
    """Of the network, the two tensors that the programs have."""

    parameters = tuple(
        Parameter(name=name, shape=value.shape, initializer=ZEROS) for name, value in START.items()
    )


def climb(first, second, optimizer="adam", precision="float64"):
    options = {"layer": "conv2d", "widths": [2]}
    model = {"name": "lightnet_plain", "options": options}
    images = {"input_shape": [4, 4, 1], "num_classes": 2}
    run = RunSpec.parse({**images, "model": model, "precision": precision}, "")
    ladder = Ladder(run, first, second)
    ladder._network = Trained
    return ladder.compare_steps(optimizer, START, BATCHES)


def growth(rate, push, count):
    """Factor over so many steps, a tenth of the rate from the middle on."""
    kept = max(1, count // 2)
    return (1 + rate * push) ** kept * (1 + rate / 10 * push) ** (count - kept)


# Push, then what is judged of Adam's 50 steps at 1e-3; factors by hand.
CASES = {
    # 1.0001^25 * 1.00001^25: rounding stays rounding.
    "calm": (0.1, 50, 1e-3),
    # 2^25 * 1.1^25 = 3.6e8 units are 8e-8; a tenth of the rate makes 1.1^25 * 1.01^25 = 14 of them.
    "smaller": (1e3, 50, 1e-4),
    # At a tenth still 2^25 * 1.1^25; 25 steps make 2^12 * 1.1^13 = 1.4e4 units, 3e-12.
    "fewer": (1e4, 25, 1e-4),
    # 11^12 * 2^13 is too much, 11^6 * 2^6 = 1.1e8 units are 2.5e-8, 11^3 * 2^3 = 1.1e4 are 2.4e-12.
    "fewer still": (1e5, 6, 1e-4),
    # 1e5^1 * 1e4^2 is too much for 3 steps; one makes 1e5 units, 2e-11.
    "one": (1e9, 1, 1e-4),
}


@pytest.mark.parametrize("case", CASES)
def test_chaos_is_judged_by_smaller_or_fewer_steps(case):
    push, count, rate = CASES[case]
    assert growth(rate, push, count) * ULP < 1e-9
    for rung in climb(Program(push), Program(push)):
        assert rung.name.startswith(f"{count} adam step{'s' if count > 1 else ''}: ")
        assert rung.learning_rate == pytest.approx(rate)
        assert rung.verdict == "equal"
        # Moved up by 2^-52 or down by half of it, and carried off by the factor above.
        assert 0 < rung.self_difference <= growth(rate, push, count) * ULP * 1.01
        if case == "calm":
            assert rung.notes == ()
        else:
            (note,) = rung.notes
            own = growth(1e-3, push, 50) * ULP
            assert "50 adam steps at a rate of 0.001 cannot be judged" in note
            assert "torch differs from itself by" in note
            assert own > 1e-9
            assert f"; {count} adam step" in note
            assert note.endswith(" are judged instead")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_error_is_found_in_whatever_steps_are_judged(case, is_first):
    push, count, _ = CASES[case]
    pair = [Program(push), Program(push)]
    pair[0 if is_first else 1].error = 1e-3
    rungs = climb(*pair)
    assert [rung.verdict for rung in rungs] == ["DIFFERENT", "DIFFERENT"]
    assert rungs[0].name.startswith(f"{count} adam")


def test_what_one_step_cannot_show_is_not_judged_and_never_equal():
    push = 1e12
    # One step at a tenth of the rate: 1e8 units are 2e-8, above 1e-9.
    rungs = climb(Program(push), Program(push))
    assert [rung.verdict for rung in rungs] == ["not judged", "not judged"]
    assert not any(rung.is_passed for rung in rungs)
    assert rungs[0].self_difference > 1e-9
    assert rungs[0].error == 0
    assert "nor can 1 adam step at a rate of 0.0001" in rungs[0].notes[0]
    with pytest.raises(CheckFailed, match="not shown on the rung '1 adam step: losses'"):
        judge(rungs)


def test_milder_steps_that_show_nothing_are_not_judged(monkeypatch):
    """In float32 five steps at 1e-4 move a bias of 1 by 2.3e-4: left out they would pass too."""
    monkeypatch.setitem(START, "head/bias", np.ones(2))
    rungs = climb(Program(1e5), Program(1e5), precision="float32")
    assert [rung.verdict for rung in rungs] == ["not judged", "not judged"]
    assert "5 adam steps at a rate of 0.0001 move the weights by 2.3e-04" in rungs[0].notes[0]
    # The same movement by the steps that were asked for is judged as ever.
    assert [rung.verdict for rung in climb(Program(), Program(), precision="float32")] == [
        "equal",
        "equal",
    ]


def test_the_other_backend_has_no_say_in_what_is_judged():
    """The same steps, the same self-difference, whatever the first backend computes."""
    found = [
        [(rung.name, rung.self_difference, rung.learning_rate, rung.notes) for rung in rungs]
        for rungs in (climb(first, Program(1e4)) for first in (Program(), Program(1e9, 1.0)))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("ends", [(math.inf, None), (None, math.nan)])
def test_infinity_of_one_backend_alone_is_a_difference(ends):
    rungs = climb(*(Program(end=end) for end in ends))
    assert [rung.verdict for rung in rungs] == ["DIFFERENT", "DIFFERENT"]
    assert all(rung.is_judged for rung in rungs)


def test_infinity_of_both_is_no_verdict():
    rungs = climb(Program(end=math.inf), Program(end=math.inf))
    assert [rung.verdict for rung in rungs] == ["not judged", "not judged"]


class Steep(Program):
    """Descent of a parabola, loss = push / 2 * the mean of w^2: beyond 2 / push it leaves it."""

    def call(self, operation, *, weights, run, learning_rates=(), **arguments):
        value = weights["head/kernel"].astype(run["precision"])
        if operation is Operations.loss_and_gradients:
            loss = self.push / 2 * float(np.square(value).sum())
            return {"loss": loss, "gradients": {"head/kernel": self.push * value}}
        with np.errstate(over="ignore", invalid="ignore"):
            for rate in learning_rates:
                value = value - rate * self.push * value
        return answer(value, weights["head/bias"], len(learning_rates))


def test_the_rate_follows_the_steepness_of_the_loss():
    # loss / |gradient|^2 = 1.5 push / (3 push^2) = 1 / (2 push), of which half.
    rungs = climb(Steep(1e6), Steep(1e6), optimizer="sgd")
    for rung in rungs:
        assert rung.verdict == "equal"
        assert rung.name.startswith("50 sgd steps")
        assert rung.learning_rate == pytest.approx(2.5e-7, rel=0.21)
        assert "not 0.01: the loss of 1.5e+06 is so steep" in rung.notes[0]
    (gentle, _) = climb(Steep(1.0), Steep(1.0), optimizer="sgd")
    assert gentle.learning_rate == RATES["float64"]["sgd"]
    assert gentle.notes == ()


def test_steps_that_leave_for_infinity_become_smaller():
    # Adam's rule is not scaled beforehand: 1e10^25 * 1e9^25 has 475 digits, 1e6^25 * 1e5^25 275.
    rungs = climb(Steep(1e13), Steep(1e13))
    assert rungs[0].verdict == "equal"
    assert rungs[0].name.startswith("50 adam steps")
    assert rungs[0].learning_rate == pytest.approx(1e-7)
    assert "differs from itself by inf" in rungs[0].notes[0]


def test_float32_takes_fewer_steps_but_no_smaller_ones():
    # At 1e-4: 11^10 * 2^10 units; 5 steps make 11^2 * 2^3 = 968 of 1.2e-7 at most, 1.2e-4.
    (losses, _) = climb(Program(1e5), Program(1e5), precision="float32")
    assert losses.verdict == "equal"
    assert losses.name.startswith("5 adam steps")
    assert losses.learning_rate == RATES["float32"]["adam"]


def test_scale_by_hand():
    steps = Steps(optimizer="sgd", rate=1e-2, count=50)
    gradients = {"a": np.array([3.0, 4.0]), "b": np.array([12.0])}  # square 169
    assert scale_steps(steps, 1.69, gradients).rate == 0.005
    assert scale_steps(steps, -1.69, gradients).rate == 0.005
    assert scale_steps(steps, 169.0, gradients) == steps
    for loss in (math.nan, math.inf, 0.0):
        assert scale_steps(steps, loss, gradients) == steps
    assert scale_steps(steps, 1.0, {"a": np.zeros(2)}) == steps
    adam = Steps(optimizer="adam", rate=1e-2, count=50)
    assert scale_steps(adam, 1.69, gradients) == adam


def test_milder_steps_by_hand():
    steps, tried = Steps(optimizer="sgd", rate=1e-2, count=50), []
    while steps is not None:
        tried.append((steps.rate, steps.count))
        steps = milder_steps(steps, "float64", is_finite=True)
    counts = [50, 25, 12, 6, 3, 1]
    assert tried == [(1e-2, 50), *((1e-3, count) for count in counts)]


@pytest.mark.parametrize("count", [50, 20, 5])
def test_the_rate_drops_in_the_middle(count):
    rates = Steps(optimizer="adam", rate=1e-3, count=count).learning_rates
    assert rates == [1e-3] * (count // 2) + [1e-4] * (count - count // 2)
    assert Steps(optimizer="adam", rate=1e-3, count=1).learning_rates == [1e-3]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_weights_move_by_one_unit_in_the_last_place(precision):
    start = np.random.default_rng(0).normal(size=1000).astype(precision)
    moves = [found["a"] for found in move_weights({"a": start.astype(np.float64)}, precision)]
    assert len(moves) == 2
    assert (moves[0] != moves[1]).any()
    for moved in moves:
        assert moved.dtype == np.float64
        back = moved.astype(precision)
        assert (back.astype(np.float64) == moved).all()
        up, down = (np.nextafter(start, np.array(end, precision)) for end in (np.inf, -np.inf))
        assert ((back == up) | (back == down)).all()
        assert 400 < (back == up).sum() < 600


def test_a_rung_that_differs_is_named_before_one_that_is_not_judged():
    unjudged = Rung("1 step", "a", 0.0, 1e-9, 1, self_difference=1.0, is_judged=False)
    broken = Rung("logits", "b", 1.0, 1e-9, 1)
    with pytest.raises(CheckFailed, match="broken on the rung 'logits'"):
        judge([unjudged, broken])
    assert unjudged.to_json()["verdict"] == "not judged"
    assert unjudged.to_json()["is_passed"] is False
