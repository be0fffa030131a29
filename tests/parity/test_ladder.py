"""The parity ladder on every method and model, and with planted errors that it must name.

Every method is climbed on its small form: what `poc parity --method NAME` does.
"""

import numpy as np
import pytest

from poc.shared.actions.comparison import read_batches
from poc.shared.analysis.parity import trajectories
from poc.shared.analysis.parity.batches import dither
from poc.shared.analysis.parity.ladder import Ladder
from poc.shared.analysis.parity.trajectories import RATES
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.freezing import moving_names
from poc.shared.spec.reading.small_forms import load_parity_run
from poc.shared.spec.resolved import declare_network
from poc.tests.helpers.architectures.table import (
    ARCHITECTURES,
    SMALL_CASES,
    ladder_rows,
)
from poc.tests.helpers.workers.plants import plant

BATCH = 8
NUM_BATCHES = 3
LIGHT = SMALL_CASES["lightnet_plain mnist k=3"]


def make_run(case=LIGHT, **fields):
    return case.run(method="lightlayers", **fields)


def draw_batches(run, seed=0):
    generator = np.random.default_rng(seed)
    return [
        {
            "images": generator.uniform(size=(BATCH, *run.input_shape)).astype(np.float32),
            "labels": generator.integers(0, run.num_classes, BATCH),
        }
        for _ in range(NUM_BATCHES)
    ]


def climb(run, workers):
    return Ladder(run, *workers).climb(draw_batches(run))


def check(run, rungs):
    """All of them equal, all of them there, steps in their full number."""
    broken = [rung.failure for rung in rungs if not rung.is_passed]
    assert broken == []
    assert {rung.verdict for rung in rungs} == {"equal"}
    assert all(rung.num_tensors > 0 for rung in rungs)
    if METHODS[run.method].fits_head:
        check_fitted(run, rungs)
        return
    # Parameters, logits, loss, gradients, the tap, and losses and weights of each optimiser.
    optimizers = METHODS[run.method].optimizers or ("adam", "sgd")
    assert len(rungs) == (5 + 2 * len(optimizers)) * len(run.stages)
    steps = [rung for rung in rungs if " steps: " in rung.name]
    count = {"float64": 50, "float32": 20}[run.precision]
    assert all(f"{count} " in rung.name for rung in steps)
    assert len(steps) == 2 * len(optimizers) * len(run.stages)
    # Rounding alone is seen, and is far from the bound that it is judged by.
    assert all(0 < rung.self_difference < rung.tolerance / 10 for rung in steps)


def check_fitted(run, rungs):
    """No steps, but features and heads; what is stored has no gradient."""
    gradients = ["gradients"] if run.method == "logistic" else []
    names = ["parameters", "logits", "loss", *gradients, "gradient at a tap"]
    assert [rung.name for rung in rungs] == [*names, "features", "fitted head"]


@pytest.mark.parametrize(("name", "precision"), ladder_rows("strict"))
def test_both_backends_compute_the_same(name, precision, workers):
    run = ARCHITECTURES[name].small_run(precision, method="lightlayers")
    check(run, climb(run, workers))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("method", METHODS)
def test_the_default_parity_of_every_method_holds(method, precision, workers):
    run, form = load_parity_run(None, [f"method={method}", f"precision={precision}"])
    assert form is not None
    resolved, batches = read_batches(run)
    check(resolved, Ladder(resolved, *workers).climb(batches))


# Options of the update -> its rule. Each is judged on 50 steps, together on all rungs.
UPDATES = {
    "clipped": ({"clip_norm": 0.5}, {}, "sgd"),
    "accumulated": ({"accumulation_steps": 3}, {}, "adam"),
    "averaged": ({}, {"decay": 0.9}, "sgd"),
    "exempt": ({"weight_decay": 0.1, "decay_exempt": "norms_and_biases"}, {}, "adam"),
    "product of factors": ({"frobenius_decay": 0.3}, {}, "sgd"),
}


@pytest.mark.parametrize("name", UPDATES)
def test_steps_with_an_option_of_the_update_are_equal(name, workers):
    optimizer, ema, rule = UPDATES[name]
    run = make_run(precision="float64", optimizer=optimizer, ema=ema)
    ladder = Ladder(run, *workers)
    rungs = ladder.compare_steps(rule, ladder.perturbed_weights(), draw_batches(run))
    assert [rung.failure for rung in rungs if not rung.is_passed] == []
    assert all(rung.name.startswith(f"50 {rule} steps") for rung in rungs)
    # Averages are compared too.
    moving = len(moving_names(declare_network(run))) if ema else 0
    assert rungs[1].num_tensors == len(declare_network(run).parameters) + moving


def test_all_options_of_the_update_together_are_equal(workers):
    optimizer = {key: value for own, _, _ in UPDATES.values() for key, value in own.items()}
    run = make_run(precision="float64", optimizer=optimizer, ema={"decay": 0.9})
    check(run, climb(run, workers))


def test_the_loss_is_not_trivial(workers):
    """A ladder of zeros would agree too: steps change every trainable weight and the loss."""
    run = make_run(LIGHT.with_options(kernel_l2=0.1))
    batches = draw_batches(run)
    weights = Ladder(run, *workers).perturbed_weights()
    cancelled = declare_network(run).cancelled_biases
    for worker in workers:
        found = worker.call(
            Operations.train_steps,
            run={**run.model_dump(mode="json"), "backend": worker.backend},
            weights=weights,
            batches=batches,
            learning_rates=[1e-2] * 3,
        )
        assert len(set(found["losses"])) == 3
        for name, value in weights.items():
            stood_still = np.array_equal(found["weights"][name], value.astype(np.float32))
            assert stood_still == (name in cancelled), name


# Statement to plant -> the rung to climb, and what the name of the worst tensor starts with.
PLANTS = {
    "transposed kernel": (
        'change_weight("block2/conv1/reduce/kernel", lambda k: k.transpose(1, 0, 2, 3).copy())',
        "logits",
        "block2/conv1",
    ),
    "reversed factor": (
        'change_weight("head/reduce/kernel", lambda k: k[::-1].copy())',
        "logits",
        "head",
    ),
    "norm epsilon": ('change_layer("block1/norm2", "epsilon", 1e-5)', "logits", "block1/norm2"),
    # It stands before the head, and so in every gradient: which one is worst says nothing.
    "dropout scale": ('change_layer("dropout", "rate", 0.2)', "gradients", ""),
    "norm momentum": (
        'change_layer("block2/norm1", "momentum", 0.99)',
        "weights",
        "block2/norm1/moving_",
    ),
    "adam epsilon": (
        "build = update.build_optimizer\n"
        "update.build_optimizer = lambda spec, *rest: build(\n"
        '    spec.model_copy(update={"epsilon": 1e-7}), *rest)',
        "weights",
        "",
    ),
    "sgd momentum": (
        "build = update.build_optimizer\n"
        "update.build_optimizer = lambda spec, *rest: build(\n"
        '    spec.model_copy(update={"momentum": 0.8999}), *rest)',
        "sgd",
        "",
    ),
    "share of an average": (
        "averaged = import_module(f'poc.{BACKEND}_impl.optimizers.averaged_weights')\n"
        "move = averaged.AveragedWeights.move\n"
        "averaged.AveragedWeights.move = lambda self, share: move(self, 0.999 * share)",
        "averaged",
        "average/",
    ),
    "epsilon of the bounded norm": (
        "clip = update.clip_gradients\n"
        "update.clip_gradients = lambda gradients, variables, bound: clip(\n"
        "    gradients, variables, bound * (1 + 1e-6))",
        "clipped",
        "",
    ),
    "class of a tap's gradient": (
        "compute = tree.map_and_gradient\n"
        "tree.map_and_gradient = lambda run, weights, images, labels, tap: compute(\n"
        "    run, weights, images, (labels + 1) % run.network.num_classes, tap)",
        "tap",
        "gradient at block2/relu2",
    ),
    # Nothing before the drop shows it.
    "missed drop of the rate": (
        "take = trainer.Trainer.prepared_step\n"
        "def keep(self, images, labels, rate, *rest):\n"
        '    self.first_rate = getattr(self, "first_rate", rate)\n'
        "    return take(self, images, labels, self.first_rate, *rest)\n"
        "trainer.Trainer.prepared_step = keep",
        "sgd",
        "",
    ),
}


def climb_one(rung, run, pair):
    """The rungs of one stage, so that a plant costs no more than it must."""
    ladder, batches = Ladder(run, *pair), draw_batches(run)
    weights = ladder.perturbed_weights()
    if rung == "logits":
        return [ladder.compare_logits(weights, dither(batches[0], run.seed, 0))]
    if rung == "gradients":
        return ladder.compare_gradients(weights, batches[:1])
    if rung == "tap":
        return ladder.compare_tap(weights, batches[:1])
    rule = UPDATES[rung][2] if rung in UPDATES else "sgd" if rung == "sgd" else "adam"
    return ladder.compare_steps(rule, weights, batches)


@pytest.mark.parametrize("error", PLANTS)
def test_a_planted_error_is_named(error, backend, request, tmp_path, monkeypatch):
    """One backend is sound, the other has the error; also: a worker's interpreter can be chosen."""
    statement, stage, tensor = PLANTS[error]
    sound = request.getfixturevalue({"tf": "torch_worker", "torch": "tf_worker"}[backend])
    monkeypatch.setenv(f"POC_{backend.upper()}_PYTHON", str(plant(tmp_path, statement)))
    optimizer, ema, _ = UPDATES.get(stage, ({}, {}, ""))
    run = make_run(precision="float64", optimizer=optimizer, ema=ema)
    with Worker(backend, log=tmp_path / "log") as planted:
        pair = (planted, sound) if backend == "tf" else (sound, planted)
        rungs = climb_one(stage, run, pair)
        earlier = {"logits": [], "gradients": ["logits"]}.get(stage, ["logits", "gradients"])
        for quiet in earlier:
            assert all(rung.is_passed for rung in climb_one(quiet, run, pair))
    assert rungs[-1].verdict == "DIFFERENT"
    assert rungs[-1].worst.startswith(tensor)
    assert rungs[-1].notes == ()


def test_a_planted_error_is_found_in_what_infinity_leaves(
    backend, tf_worker, torch_worker, tmp_path, monkeypatch
):
    """At five hundred times the rate weights leave for infinity; smaller steps show the error.

    Chaos on its way there: test_trajectories.py.
    """
    monkeypatch.setitem(RATES, "float64", {"sgd": 5.0})
    monkeypatch.setattr(trajectories, "STEEPNESS_SHARE", np.inf)
    monkeypatch.setenv(
        f"POC_{backend.upper()}_PYTHON", str(plant(tmp_path, PLANTS["sgd momentum"][0]))
    )
    run = make_run(precision="float64")
    with Worker(backend, log=tmp_path / "log") as planted:
        pair = (planted, torch_worker) if backend == "tf" else (tf_worker, planted)
        found = climb_one("sgd", run, pair)
    sound = climb_one("sgd", run, (tf_worker, torch_worker))
    assert [rung.verdict for rung in sound] == ["equal", "equal"]
    assert found[-1].verdict == "DIFFERENT"
    for rung in (*sound, *found):
        assert "50 sgd steps at a rate of 5 cannot be judged" in rung.notes[0]
        assert "by inf" in rung.notes[0]


def test_an_extra_parameter_is_named(torch_worker, tmp_path, monkeypatch):
    """A built model that is not the declared one ends the climb at its first rung."""
    statement = (
        "table = tree.parameters\n"
        "tree.parameters = lambda run: [p for p in table(run) if p.name != 'block1/norm1/beta']"
    )
    monkeypatch.setenv("POC_TF_PYTHON", str(plant(tmp_path, statement)))
    run = make_run()
    with Worker("tf", log=tmp_path / "log") as planted:
        rungs = climb(run, (planted, torch_worker))
    assert [rung.worst for rung in rungs] == ["block1/norm1/beta"]
    assert not rungs[0].is_passed
