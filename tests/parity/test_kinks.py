"""What float32 cannot judge is told from another program: programs of one line, by hand."""

import numpy as np
import pytest

from poc.shared.analysis.parity.batches import NUM_PROBES
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.commands.options import judge
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import CheckFailed
from poc.shared.spec.networks.layers.declaration import ZEROS, Parameter
from poc.shared.spec.run import RunSpec

# The noise is a share of the images' deviation.
IMAGES = np.random.default_rng(0).random((2, 4, 4, 1), np.float32)
BATCHES = [{"images": IMAGES, "labels": np.zeros(2, np.int64)}]


class Program:
    """Answers a gradient of (1, 1), off by `kink` in float32 and by `error` in both precisions.

    The kink is met on the first `num_kinks` noises; None stands for all of them. The loss is off by
    `rough` in float32.
    """

    def __init__(self, kink=0.0, error=0.0, num_kinks=None, rough=0.0):
        self.kink, self.error, self.num_kinks, self.rough = kink, error, num_kinks, rough
        self.seen = []

    def call(self, operation, *, run, batch, **_):
        assert operation is Operations.loss_and_gradients
        value = np.array([1.0, 1.0 + self.error])
        if run["precision"] == "float32":
            self.seen.append(batch["images"])
            if self.num_kinks is None or len(self.seen) <= self.num_kinks:
                value[0] += self.kink
            return {"loss": 1.0 + self.rough, "gradients": {"kernel": value}}
        return {"loss": 1.0, "gradients": {"kernel": value}}


def climb(first, second):
    model = {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [2]}}
    images = {"input_shape": [4, 4, 1], "num_classes": 2, "precision": "float32"}
    ladder = Ladder(RunSpec.parse({**images, "model": model}, ""), first, second)
    return ladder.compare_gradients({}, BATCHES)


def test_programs_without_kinks_are_judged_on_the_first_noise():
    first = Program()
    assert [rung.verdict for rung in climb(first, Program())] == ["equal", "equal"]
    assert len(first.seen) == 1


def test_a_kink_on_two_noises_is_left_for_the_third():
    first = Program(kink=0.01, num_kinks=2)
    assert [rung.verdict for rung in climb(first, Program())] == ["equal", "equal"]
    assert len(first.seen) == 3
    assert not np.array_equal(first.seen[0], first.seen[1])


@pytest.mark.parametrize("is_first", [True, False])
def test_a_kink_on_every_noise_is_settled_in_float64_and_never_equal(is_first):
    pair = [Program(), Program()]
    pair[0 if is_first else 1].kink = 0.01
    loss, gradients = rungs = climb(*pair)
    assert len(pair[0].seen) == NUM_PROBES == 12
    assert (loss.verdict, gradients.verdict) == ("equal", "in float64")
    (note,) = gradients.notes
    # 0.01 of the largest value, which is 1.01 with the kink.
    far, near = ("tf by 9.9e-03", "torch by 0.0e+00") if is_first else ("tf by 0", "torch by 9.9e")
    assert far in note
    assert near in note
    assert "none of 12 noises do all units stay off their kinks" in note
    assert "in float64 the backends agree within 0.0e+00" in note
    judge(rungs)


@pytest.mark.parametrize("is_first", [True, False])
def test_a_fault_of_float32_alone_is_not_taken_for_a_kink(is_first):
    """The loss has no kink: where it differs as well, float64 settles nothing."""
    pair = [Program(), Program()]
    pair[0 if is_first else 1].kink = pair[0 if is_first else 1].rough = 0.01
    loss, gradients = rungs = climb(*pair)
    assert (loss.verdict, gradients.verdict) == ("not judged", "not judged")
    assert not gradients.is_passed
    with pytest.raises(CheckFailed, match="not shown on the rung 'loss': loss cannot"):
        judge(rungs)


def test_roundings_that_add_up_are_settled_on_the_first_noise():
    """Each is within the bound 1e-4 of its float64, on opposite sides of it."""
    pair = [Program(kink=7e-5), Program(kink=-7e-5)]
    loss, gradients = climb(*pair)
    assert (loss.verdict, gradients.verdict) == ("equal", "in float64")
    assert len(pair[0].seen) == 1
    assert "the roundings of both backends add up" in gradients.notes[0]
    pair[0].error = 1e-3
    assert climb(*pair)[1].verdict == "DIFFERENT"


@pytest.mark.parametrize("kink", [0.0, 0.01])
@pytest.mark.parametrize("is_first", [True, False])
def test_another_program_differs_with_and_without_kinks(is_first, kink):
    """What float64 tells apart is no kink; 1e-9 alone is within the bound of float32."""
    pair = [Program(kink=kink), Program()]
    pair[0 if is_first else 1].error = 1e-3
    assert climb(*pair)[1].verdict == "DIFFERENT"
    pair[0 if is_first else 1].error = 1e-9
    assert climb(*pair)[1].verdict == ("DIFFERENT" if kink else "equal")


class Trained:
    """Of the network, the one tensor that the walkers have."""

    parameters = (Parameter(name="kernel", shape=(2,), initializer=ZEROS),)


class Walker:
    """Moves its weights by the rate a step; off by `kink` in float32, by `error` in both."""

    def __init__(self, kink=0.0, error=0.0):
        self.kink, self.error, self.num_doubles = kink, error, 0

    def call(self, operation, *, run, weights, learning_rates, **_):
        assert operation is Operations.train_steps
        rough = run["precision"] == "float32"
        self.num_doubles += not rough
        value = weights["kernel"] - sum(learning_rates) + self.error
        value = value + (self.kink if rough else 0.0)
        return {"losses": [1.0] * len(learning_rates), "weights": {"kernel": value}, "state": {}}


def walk(first, second):
    model = {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [2]}}
    images = {"input_shape": [4, 4, 1], "num_classes": 2, "precision": "float32"}
    ladder = Ladder(RunSpec.parse({**images, "model": model}, ""), first, second)
    ladder._network = Trained
    return ladder.compare_steps("adam", {"kernel": np.full(2, 0.01)}, BATCHES)


def test_steps_that_agree_need_no_float64():
    pair = [Walker(), Walker()]
    assert [rung.verdict for rung in walk(*pair)] == ["equal", "equal"]
    assert [walker.num_doubles for walker in pair] == [0, 0]


@pytest.mark.parametrize("is_first", [True, False])
def test_steps_across_a_kink_on_every_noise_are_settled_in_float64(is_first):
    pair = [Walker(), Walker()]
    pair[0 if is_first else 1].kink = 0.01
    losses, weights = walk(*pair)
    assert (losses.verdict, weights.verdict) == ("equal", "in float64")
    assert "20 adam steps: weights cannot be judged in float32" in weights.notes[-1]
    pair[0 if is_first else 1].error = 1e-3
    assert walk(*pair)[1].verdict == "DIFFERENT"


def test_roundings_of_steps_that_add_up_are_settled_in_float64():
    """Each is within the bound 1e-3 of its float64; the values are about 0.009."""
    pair = [Walker(kink=6e-6), Walker(kink=-6e-6)]
    assert [rung.verdict for rung in walk(*pair)] == ["equal", "in float64"]
    pair[1].error = 1e-4
    assert walk(*pair)[1].verdict == "DIFFERENT"
