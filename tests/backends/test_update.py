"""What happens between the gradients of batches and the weights: each option against NumPy.

The gradients are the backend's own; everything after them is computed again by the reference.
"""

import numpy as np
import pytest

from poc.shared.engine.step_numbers import AVERAGE_PREFIX, GRADIENT_PREFIX
from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.freezing import moving_names
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.products import find_products
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.averaging import average_share
from poc.tests.helpers.workers.probe import (
    owning_methods,
    resume,
    scaled_steps,
    step_without_numbers,
)
from poc.tests.reference import optimizers as reference

SHAPE, CLASSES = (8, 8, 3), 3
LIGHT = {"name": "lightnet_plain", "options": {"k": 2, "widths": [3, 4], "kernel_l2": 0.01}}
FACTORED = {
    "name": "lightnet_plain",
    "options": {"layer": "conv2d", "head": "dense", "widths": [4, 5]},
    "factors": {
        "block1/conv1": {"variant": "spatial", "rank": 2},
        "block2/conv1": {"variant": "basis", "rank": 3},
    },
}
EXEMPT = {"weight_decay": 0.3, "decay_exempt": "norms_and_biases"}
SGD = {"name": "sgd", "momentum": 0.9}
# Batches of these sizes, in turn: with three to an update, the last group is smaller.
SIZES = (8, 5, 3, 4)
# Model, optimiser. Layers of LIGHT have a decay of their own, which no option changes.
OPTIONS = {
    "a norm that is clipped": (LIGHT, {**SGD, "clip_norm": 0.05, "weight_decay": 0.3}),
    "a norm below the bound": (LIGHT, {**SGD, "clip_norm": 1e6, "weight_decay": 0.3}),
    "clipped, adamw": (LIGHT, {"name": "adamw", "clip_norm": 0.05, "weight_decay": 0.3}),
    "accumulated": (LIGHT, {**SGD, "accumulation_steps": 3}),
    "accumulated, adam": (LIGHT, {"name": "adam", "accumulation_steps": 2}),
    "more than an epoch": (LIGHT, {**SGD, "accumulation_steps": 50}),
    "exempt": (LIGHT, {**SGD, **EXEMPT}),
    "exempt, adam": (LIGHT, {"name": "adam", **EXEMPT}),
    "exempt, adamw": (LIGHT, {"name": "adamw", **EXEMPT}),
    "product of factors": (FACTORED, {**SGD, "weight_decay": 0.2, "frobenius_decay": 0.4}),
    "product, adamw": (
        FACTORED,
        {"name": "adamw", "weight_decay": 0.2, "frobenius_decay": 0.4},
    ),
    "product in a light head": (LIGHT, {**SGD, "frobenius_decay": 0.4}),
    "all of them": (
        FACTORED,
        {
            **SGD,
            **EXEMPT,
            "frobenius_decay": 0.4,
            "clip_norm": 0.2,
            "accumulation_steps": 3,
            "nesterov": True,
        },
    ),
}


def make_run(backend, model, optimizer, **fields):
    values = {
        "method": "scratch",
        "backend": backend,
        "precision": "float64",
        "model": model,
        "optimizer": optimizer,
        "input_shape": SHAPE,
        "num_classes": CLASSES,
    }
    return RunSpec.parse({**values, **fields}, "")


def draw_batches(sizes=SIZES, shape=SHAPE, classes=CLASSES):
    generator = np.random.default_rng(0)
    return [
        {
            "images": generator.uniform(size=(size, *shape)).astype(np.float32),
            "labels": generator.integers(0, classes, size),
        }
        for size in sizes
    ]


def draw(run):
    return draw_weights(declare_network(run).parameters, 0)


def train(worker, run, weights, batches, rates):
    return worker.call(
        Operations.train_steps,
        run=run.model_dump(mode="json"),
        weights=weights,
        batches=batches,
        learning_rates=rates,
    )


def expected_updates(worker, run, weights, batches, rates):
    """The trained weights after one pass over the batches, by the formulas; a list of them."""
    spec, network = run.optimizer, declare_network(run)
    own = {p.name: p.weight_decay for p in network.parameters if p.is_trainable}
    products = find_products(network, run.model_spec.factors) if spec.frobenius_decay else ()
    factors = {name for p in products for name in (p.first, p.second)}
    values = {name: weights[name].astype(np.float64) for name in own}
    slots = {name: [np.zeros_like(value), np.zeros_like(value)] for name, value in values.items()}
    history, count = [], spec.accumulation_steps
    for number, start in enumerate(range(0, len(batches), count), start=1):
        group = batches[start : start + count]
        found = [
            worker.call(
                Operations.loss_and_gradients,
                run=run.model_dump(mode="json"),
                weights={**weights, **values},
                batch=batch,
            )["gradients"]
            for batch in group
        ]
        gradients = reference.mean_gradient(found, [len(batch["labels"]) for batch in group])
        if spec.clip_norm:
            gradients = reference.clip(gradients, spec.clip_norm)
        for product in products:
            pair = [values[name] for name in (product.first, product.second)]
            added = reference.frobenius_gradients(*pair, product.scale)
            for name, value in zip((product.first, product.second), added, strict=True):
                gradients[name] = gradients[name] + spec.frobenius_decay * value
        rate = rates[min(start + count, len(batches)) - 1]
        for name, value in values.items():
            is_exempt = spec.decay_exempt != "none" and not name.endswith("/kernel")
            decay = 0.0 if is_exempt or name in factors else spec.weight_decay
            values[name] = move(
                spec, value, gradients[name], slots[name], number, rate, own[name], decay
            )
        history.append(dict(values))
    return history


def move(spec, value, gradient, slots, number, rate, own_decay, run_decay):
    """One step of the rule on one array."""
    is_apart = spec.name == "adamw"
    gradient = gradient + (own_decay + (0.0 if is_apart else run_decay)) * value
    if spec.name == "sgd":
        slots[0] = spec.momentum * slots[0] + gradient
        change = gradient + spec.momentum * slots[0] if spec.nesterov else slots[0]
        return value - rate * change
    if is_apart:
        value = value - rate * run_decay * value
    slots[0] = spec.beta1 * slots[0] + (1 - spec.beta1) * gradient
    slots[1] = spec.beta2 * slots[1] + (1 - spec.beta2) * gradient**2
    mean, square = slots[0] / (1 - spec.beta1**number), slots[1] / (1 - spec.beta2**number)
    return value - rate * mean / (np.sqrt(square) + spec.epsilon)


# A graph takes seconds to trace, so that only one row and those of other tests have one.
GRAPHS = ("all of them",)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_update_equals_its_formula(name, worker):
    mode = "default" if name in GRAPHS else "eager"
    run, batches = make_run(worker.backend, *OPTIONS[name], mode=mode), draw_batches()
    weights, rates = draw(run), [0.05, 0.05, 0.05, 0.01]
    found = train(worker, run, weights, batches, rates)["weights"]
    expected = expected_updates(worker, run, weights, batches, rates)[-1]
    assert len(expected) > 5
    for key, value in expected.items():
        assert np.isfinite(found[key]).all(), key
        scale = max(np.abs(value).max(), 1e-3)
        assert np.abs(found[key] - value).max() < 1e-12 * scale, key


@pytest.mark.parametrize("name", ["a norm that is clipped", "exempt", "product of factors"])
def test_an_option_changes_the_result(name, worker):
    """The same without it is another result, so that the test above sees it."""
    model, optimizer = OPTIONS[name]
    without = {k: v for k, v in optimizer.items() if k in ("name", "momentum", "weight_decay")}
    run, plain = (
        make_run(worker.backend, model, own, mode="eager") for own in (optimizer, without)
    )
    batches, rates = draw_batches(), [0.05] * 4
    found, other = (train(worker, r, draw(run), batches, rates)["weights"] for r in (run, plain))
    assert max(np.abs(found[key] - other[key]).max() for key in found) > 1e-4


# Without batch norm, whose statistics are those of a batch; with dropout.
WHOLE = {"name": "vgg16", "options": {"width": 0.05}}


@pytest.mark.parametrize("optimizer", [SGD, {"name": "adam"}], ids=["sgd", "adam"])
@pytest.mark.parametrize("sizes", [(6, 6, 6), (7, 1, 5)], ids=["equal", "other sizes"])
def test_batches_of_an_update_are_one_batch(sizes, optimizer, worker):
    """Without batch norm, to rounding: dropout, schedule and the mean over examples too."""
    shape = (32, 32, 3)
    fields = {"input_shape": shape, "method": "scratch"}
    groups = [draw_batches(sizes, shape), draw_batches(sizes, shape)[::-1]]
    parts = [batch for group in groups for batch in group]
    joined = [
        {key: np.concatenate([batch[key] for batch in group]) for key in group[0]}
        for group in groups
    ]
    many = {**optimizer, "accumulation_steps": 3, "clip_norm": 0.5, "weight_decay": 0.1}
    one = {**many, "accumulation_steps": 1}
    runs = [make_run(worker.backend, WHOLE, own, **fields) for own in (many, one)]
    found = train(worker, runs[0], draw(runs[0]), parts, [0.05] * 3 + [0.02] * 3)
    expected = train(worker, runs[1], draw(runs[1]), joined, [0.05, 0.02])
    # The sums over examples have another order, and Adam divides by the root of small ones.
    bound = 1e-12 if optimizer is SGD else 1e-10
    for name, value in expected["weights"].items():
        assert np.abs(found["weights"][name] - value).max() < bound * np.abs(value).max(), name
    losses = [
        np.average(found["losses"][first : first + 3], weights=[len(b["labels"]) for b in group])
        for first, group in zip((0, 3), groups, strict=True)
    ]
    assert np.allclose(losses, expected["losses"], rtol=1e-12, atol=0)


def test_class_weights_are_those_of_the_update_s_examples(worker):
    """A batch of rare classes alone counts more, as it does in one large batch."""
    shape = (32, 32, 3)
    loss = {"class_weights": [1.0, 8.0, 2.0], "label_smoothing": 0.1}
    fields = {"input_shape": shape, "method": "scratch", "loss": loss}
    parts = draw_batches((6, 2, 5), shape)
    parts[1]["labels"][:] = 1
    joined = {key: np.concatenate([batch[key] for batch in parts]) for key in parts[0]}
    runs = [
        make_run(worker.backend, WHOLE, {**SGD, "accumulation_steps": count}, **fields)
        for count in (3, 1)
    ]
    found = train(worker, runs[0], draw(runs[0]), parts, [0.05] * 3)
    expected = train(worker, runs[1], draw(runs[1]), [joined], [0.05])
    for name, value in expected["weights"].items():
        assert np.abs(found["weights"][name] - value).max() < 1e-12 * np.abs(value).max(), name
    # Each batch with its own mean weight would be another run.
    alone = train(worker, runs[1], draw(runs[1]), parts, [0.05] * 3)
    assert not np.allclose(sum(found["losses"]), sum(alone["losses"]), rtol=1e-3)


AVERAGES = {
    "scratch": {"model": LIGHT, "optimizer": SGD},
    "without warm-up": {"model": LIGHT, "optimizer": {"name": "adam"}, "ema": {"warmup": False}},
    "accumulated": {"model": LIGHT, "optimizer": {**SGD, "accumulation_steps": 2}},
    "frozen parts": {
        "method": "transfer",
        "model": {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [3, 4]}},
        "method_options": {"trained_blocks": 1, "bn_mode": "adapt_all"},
        "optimizer": SGD,
    },
    "own update": {
        "method": "l2t-ww",
        "model": {
            "name": "lightnet_plain",
            "options": {"layer": "conv2d", "head": "dense", "widths": [4, 6]},
        },
        "teacher": {
            "model": {"name": "lightnet_residual", "options": {"layer": "conv2d", "widths": [3, 5]}}
        },
        "optimizer": SGD,
    },
}


@pytest.mark.parametrize("name", AVERAGES)
def test_an_average_equals_its_formula(name, worker):
    """Of weights and running statistics after every update, from the initial weights on."""
    fields = dict(AVERAGES[name])
    ema = {"decay": 0.7, **fields.pop("ema", {})}
    run = make_run(worker.backend, fields.pop("model"), fields.pop("optimizer"), ema=ema, **fields)
    resolved, batches = resolve_networks(run), draw_batches((8, 6, 4, 6))
    weights, count = starting_weights(resolved), run.optimizer.accumulation_steps
    steps = list(range(count, len(batches) + 1, count))
    found = [train(worker, run, weights, batches[:step], [0.05] * step) for step in steps]
    moving = moving_names(resolved.trained_network)
    averages = {
        key.removeprefix(AVERAGE_PREFIX): value
        for key, value in found[-1]["state"].items()
        if key.startswith(AVERAGE_PREFIX)
    }
    assert averages.keys() == moving
    assert any(key.endswith("moving_mean") for key in moving)
    decays = [1 - average_share(run.ema, update) for update in range(len(steps))]
    if run.ema.warmup:
        assert decays[:2] == pytest.approx([1 / 10, 2 / 11])
    for key, value in averages.items():
        values = [one["weights"][key] for one in found]
        expected = reference.average(weights[key].astype(np.float64), values, decays)
        assert np.abs(value - expected).max() < 1e-12 * max(np.abs(expected).max(), 1e-3), key


STATES = {
    "clipped": ({**SGD, "clip_norm": 0.05}, {}),
    "averaged": ({"name": "adam"}, {"decay": 0.9}),
    "accumulated": ({**SGD, "accumulation_steps": 2}, {}),
    "all": ({"name": "adamw", "accumulation_steps": 4, **EXEMPT, "clip_norm": 1}, {"decay": 0.5}),
}


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", STATES)
def test_a_resume_within_an_update_repeats_its_bits(name, precision, probe):
    """After three steps, in the middle of a group of two or four batches."""
    optimizer, ema = STATES[name]
    fields = {"ema": ema, "precision": precision, "device": "cpu"}
    run = make_run(probe.backend, LIGHT, optimizer, **fields)
    found = probe.call(
        resume, run=run.model_dump(mode="json"), weights=draw(run), batches=draw_batches((5,) * 6)
    )
    trained = [p.name for p in declare_network(run).parameters if p.is_trainable]
    sums = {GRADIENT_PREFIX + key for key in trained}
    assert (sums <= found["state"].keys()) == (run.optimizer.accumulation_steps > 1)
    if run.optimizer.accumulation_steps > 1:
        assert any(found["state"][key].any() for key in sums)
    for first, second in (
        ("state", "given_back"),
        ("straight", "resumed"),
        ("straight_state", "resumed_state"),
    ):
        assert found[first].keys() == found[second].keys()
        for key, value in found[first].items():
            assert np.array_equal(found[second][key], value), (first, key)


def test_a_scaled_gradient_is_reduced_before_it_is_clipped(probe):
    """Another scale of the loss gives the same update; clipped first, both would be too small."""
    run = make_run(
        probe.backend,
        LIGHT,
        {"name": "sgd", "momentum": 0.0, "clip_norm": 0.05},
        precision="float16",
        device="cpu",
    )
    weights, batch = draw(run), draw_batches((16,))[0]

    def moved(scale):
        found = probe.call(
            scaled_steps,
            run=run.model_dump(mode="json"),
            weights=weights,
            batch=batch,
            scales=[{"loss_scale": scale}],
        )[0]["weights"]
        trained = [p.name for p in declare_network(run).parameters if p.is_trainable]
        return {key: found[key] - weights[key].astype(np.float32) for key in trained}

    first, second = moved(2.0**6), moved(2.0**10)
    norms = [
        np.sqrt(sum(float(np.square(value, dtype=np.float64).sum()) for value in one.values()))
        for one in (first, second)
    ]
    # The rate is 0.01; the layers' own decay comes on top of a gradient of norm 0.05.
    assert norms[0] == pytest.approx(norms[1], rel=0.02)
    assert norms[0] > 0.9 * 0.01 * 0.05


def test_a_trainer_that_is_used_again_starts_its_average_anew(worker):
    run = make_run(worker.backend, LIGHT, SGD, ema={"decay": 0.5})
    first, second = (draw_weights(declare_network(run).parameters, seed) for seed in (0, 1))
    batches = draw_batches()
    found = [train(worker, run, start, batches, [0.05] * 3) for start in (first, second, first)]
    for key, value in found[0]["state"].items():
        assert np.array_equal(found[2]["state"][key], value), key
    key = f"{AVERAGE_PREFIX}block1/conv1/reduce/kernel"
    assert not np.array_equal(found[1]["state"][key], found[0]["state"][key])


def test_a_step_without_its_share_of_the_average_is_refused(probe):
    """A caller that forgets it would train on and judge the initial weights."""
    run = make_run(probe.backend, LIGHT, SGD, ema={"decay": 0.5})
    message = r"Got average_share=None for ema.decay=0.5. Expected both or neither"
    with pytest.raises(Exception, match=message):
        probe.call(
            step_without_numbers,
            run=run.model_dump(mode="json"),
            weights=draw(run),
            batch=draw_batches()[0],
        )


def test_the_table_names_the_methods_that_take_their_own_steps(probe):
    """The settings of a plain update are refused for these alone."""
    expected = [name for name, row in METHODS.items() if row.owns_update]
    assert (
        expected
        == probe.call(owning_methods, methods=list(METHODS))
        == ["logistic", "knn", "l2t-ww"]
    )
