"""L2T-ww: both backends against the NumPy recursion, finite differences and each other.

All in float64, where rounding alone is left: the wrong batch-norm gradient changes the
hyper-gradient by 1e-3, which float32 hides.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.errors import UsageError
from poc.shared.spec.methods.l2t_ww import find_pairs
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.tests.reference import l2t_ww as reference

pytestmark = pytest.mark.parity

TAPS = ("block1/relu2", "block2/relu2")
RATE = 0.05


@pytest.fixture(scope="module")
def workers() -> Any:
    with Worker("tf") as tf_worker, Worker("torch") as torch_worker:
        yield tf_worker, torch_worker


def small_run(
    model: str = "lightnet_plain", loss: dict[str, Any] | None = None, **options: Any
) -> RunSpec:
    """A conv-BN-ReLU-pool pair: source maps of 3 and 5 channels, target maps of 4 and 6."""
    net = {"layer": "conv2d", "head": "dense"}
    return load_run(
        method="l2t-ww",
        precision="float64",
        input_shape=(8, 8, 1),
        num_classes=3,
        loss=loss or {},
        model={"name": model, "options": {**net, "widths": (4, 6)}},
        teacher={"model": {"name": "lightnet_plain", "options": {**net, "widths": (3, 5)}}},
        method_options={
            "source_taps": TAPS,
            "target_taps": TAPS,
            **options,
        },
    )


def make_batch(seed: int = 0, size: int = 6) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    images = generator.normal(size=(size, 8, 8, 1)).astype(np.float32)
    return {"images": images, "labels": generator.integers(0, 3, size)}


def start(run: RunSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights off their special values, gates at 0, inside and at 6; and a momentum."""
    generator = np.random.default_rng(1)
    weights = starting_weights(resolve_networks(run))
    biases = iter([-9.0, 1.5, 15.0, 3.0])
    for name, value in weights.items():
        if name.endswith("loss/bias"):
            weights[name] = np.full_like(value, next(biases))
        elif not name.endswith("moving_variance"):
            weights[name] = value + generator.normal(0, 0.1, value.shape)
    moved = [p for p in resolve_networks(run).trained_network.parameters if p.is_trainable]
    state = {f"{p.name}/momentum": generator.normal(0, 0.05, p.shape) for p in moved}
    for parameter in resolve_networks(run).meta_parameters:
        for slot in ("exp_avg", "exp_avg_sq"):
            state[f"{parameter.name}/{slot}"] = np.zeros(parameter.shape)
    return weights, {**state, "step": np.asarray(0), "meta_step": np.asarray(0)}


def call(worker: Worker, operation: Any, run: RunSpec, **arguments: Any) -> Any:
    spec = {**run.model_dump(mode="json"), "backend": worker.backend}
    return worker.call(operation, run=spec, **arguments)


def hyper_gradients(worker: Worker, run: RunSpec, weights: list[Any], state: Any) -> Any:
    return call(
        worker,
        Operations.hyper_gradients,
        run,
        weights=weights,
        state=state,
        batch=make_batch(),
        learning_rate=RATE,
    )


def error(first: Any, second: Any) -> float:
    """Largest difference of any tensor over that tensor's largest value."""
    assert first.keys() == second.keys()
    worst = 0.0
    for name in first:
        assert np.isfinite(first[name]).all(), name
        assert np.isfinite(second[name]).all(), name
        difference = np.abs(first[name] - second[name]).max()
        worst = max(worst, difference / max(np.abs(second[name]).max(), 1e-12))
    return worst


def numpy_problem(run: RunSpec, weights: Any) -> tuple[Any, Any, Any]:
    """The reference's problem, its pooled source maps, its pairs."""
    batch, network, source = (
        make_batch(),
        declare_network(run),
        resolve_networks(run).teacher_network,
    )
    assert source is not None
    pairs = find_pairs(run.method_settings, network, source)
    frozen = {n.removeprefix("source/"): v for n, v in weights.items() if n.startswith("source/")}
    images = batch["images"].astype(np.float64)
    maps = {tap: reference.evaluate_map(source, frozen, images, tap) for tap in TAPS}
    fixed = set(resolve_networks(run).trained_network.cancelled_biases)
    loss = run.loss.model_dump(exclude_defaults=True)
    problem = reference.Problem(network, pairs, maps, images, batch["labels"], fixed, loss)
    return problem, {tap: value.mean((1, 2)) for tap, value in maps.items()}, pairs


def reference_hyper_gradient(run: RunSpec, weights: Any, state: Any) -> tuple[float, Any, Any]:
    """Outer loss, gradient on phi, and all values of the gates."""
    problem, pooled, pairs = numpy_problem(run, weights)
    beta = run.method_settings.beta
    used = {p.name: reference.gates(p, pooled[p.source], weights, beta) for p in pairs}
    names = [name.removesuffix("/momentum") for name in state if name.endswith("/momentum")]
    loss, adjoint = reference.hyper_gradient(
        problem,
        {name: weights[name] for name in names},
        {name: state[f"{name}/momentum"] for name in names},
        {name: value[2] for name, value in used.items()},
        steps=run.method_settings.num_inner_steps,
        rate=RATE,
        momentum=run.optimizer.momentum,
        decay=run.optimizer.weight_decay,
    )
    gradient = {}
    for pair in pairs:
        gradient |= reference.gates_backward(
            pair, pooled[pair.source], weights, beta, adjoint[pair.name]
        )
    return loss, gradient, np.concatenate([value[0] for value in used.values()])


def slow(options: list[Any]) -> list[Any]:
    return [pytest.param(option, marks=pytest.mark.slow) for option in options]


WEIGHTS = [0.5, 3.0, 1.25]
# Settings `loss` of phases 1, 3 and 4. Their second derivatives are part of the hyper-gradient.
LOSSES = {
    "weights": {"class_weights": WEIGHTS},
    "focal": {"name": "focal"},
    "focal and weights": {"name": "focal", "focal_gamma": 0.5, "class_weights": WEIGHTS},
}


@pytest.mark.parametrize(
    ("num_inner_steps", "loss"), [(1, None), (3, None), *((2, row) for row in LOSSES)]
)
def test_hyper_gradient_equals_the_published_recursion(
    workers: Any, num_inner_steps: int, loss: str | None
) -> None:
    run = small_run(loss=LOSSES[loss] if loss else {}, num_inner_steps=num_inner_steps)
    weights, state = start(run)
    loss, expected, gates = reference_hyper_gradient(run, weights, state)
    assert (gates == 0).any()
    assert (gates == 6).any()
    assert ((gates > 0) & (gates < 6)).any()
    assert max(np.abs(value).max() for value in expected.values()) > 1e-6
    for worker in workers:
        found = hyper_gradients(worker, run, [weights], state)[0]
        assert abs(found["loss"] - loss) < 1e-12
        # Both recompute the same sums in another order.
        assert error(found["gradients"], expected) < 1e-9, worker.backend


def test_hyper_gradient_equals_finite_differences(workers: Any) -> None:
    """Central differences of the outer loss along random directions of phi."""
    run = small_run()
    weights, state = start(run)
    generator = np.random.default_rng(2)
    meta = resolve_networks(run).meta_parameters
    directions = [{p.name: generator.normal(size=p.shape) for p in meta} for _ in range(2)]
    step = 1e-5
    moved = [
        {**weights, **{n: weights[n] + sign * step * d[n] for n in d}}
        for d in directions
        for sign in (1, -1)
    ]
    for worker in workers:
        found = hyper_gradients(worker, run, [weights, *moved], state)
        gradient = found[0]["gradients"]
        for index, direction in enumerate(directions):
            plus, minus = (found[1 + 2 * index + side]["loss"] for side in (0, 1))
            expected = (plus - minus) / (2 * step)
            slope = sum((gradient[name] * direction[name]).sum() for name in direction)
            # Central differences at 1e-5 are good to 1e-10 in a loss of 1.
            assert slope == pytest.approx(expected, rel=1e-6, abs=1e-10), worker.backend


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss_weights": "none", "matching": "gram"},
        {"hyper_gradient": "finite_difference"},
        *slow(
            [
                {"pairs": "one_to_one", "loss_weights": "const"},
                {"pairs": "single", "channel_weights": "none", "loss_weights": "relu"},
                {"hyper_gradient": "first_order"},
                {"meta_batch": "held_out", "meta_clip_norm": 1e-3},
            ]
        ),
    ],
    ids=str,
)
def test_both_backends_give_the_same_hyper_gradient(workers: Any, options: Any) -> None:
    run = small_run(**options)
    weights, state = start(run)
    first, second = (hyper_gradients(worker, run, [weights], state)[0] for worker in workers)
    # A one-sided difference divides rounding by its step of 1e-3.
    tolerance = 1e-7 if "finite_difference" in options.values() else 1e-9
    assert error(first["gradients"], second["gradients"]) < tolerance


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ({"class_weights": WEIGHTS, "label_smoothing": 0.2}, {}),
        pytest.param(
            {"name": "focal", "class_weights": WEIGHTS},
            {"meta_batch": "held_out"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"class_weights": WEIGHTS},
            {"hyper_gradient": "first_order"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_both_backends_give_the_same_hyper_gradient_of_other_losses(
    workers: Any, loss: Any, options: Any
) -> None:
    run = small_run(loss=loss, **options)
    weights, state = start(run)
    first, second = (hyper_gradients(worker, run, [weights], state)[0] for worker in workers)
    assert error(first["gradients"], second["gradients"]) < 1e-9
    plain = hyper_gradients(workers[1], small_run(**options), [weights], state)[0]
    assert error(plain["gradients"], second["gradients"]) > 1e-3


def test_a_held_out_half_has_a_mean_weight_of_its_own(workers: Any) -> None:
    """Phase 1 of a batch of six, of which it sees three, is that of a batch of these three."""
    loss, batch = {"class_weights": WEIGHTS}, {**make_batch(), "labels": np.arange(6) // 2}
    halves = {name: value[:3] for name, value in batch.items()}
    held_out, plain = small_run(loss=loss, meta_batch="held_out"), small_run(loss=loss)
    weights, _ = start(plain)
    for worker in workers:
        found = call(worker, Operations.loss_and_gradients, held_out, weights=weights, batch=batch)
        expected = call(worker, Operations.loss_and_gradients, plain, weights=weights, batch=halves)
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-12)
        assert error(found["gradients"], expected["gradients"]) < 1e-10


def test_a_last_batch_of_one_is_judged_on_itself(workers: Any) -> None:
    """It has no second half; a mean over no examples is NaN."""
    run, batches = small_run(meta_batch="held_out"), [make_batch(), make_batch(1, size=1)]
    taken = {"weights": start(run)[0], "batches": batches, "learning_rates": [RATE, RATE]}
    first, second = (call(worker, Operations.train_steps, run, **taken) for worker in workers)
    assert np.isfinite(first["losses"]).all()
    np.testing.assert_allclose(first["losses"], second["losses"], rtol=1e-9)
    assert error(first["weights"], second["weights"]) < 1e-9


@pytest.mark.slow
def test_residual_target(workers: Any) -> None:
    run = small_run("lightnet_residual")
    weights, state = start(run)
    first, second = (hyper_gradients(worker, run, [weights], state)[0] for worker in workers)
    assert error(first["gradients"], second["gradients"]) < 1e-9


@pytest.mark.slow
def test_approximations_are_what_they_say(workers: Any) -> None:
    """Finite differences come close to the exact gradient; leaving the Hessian out does not."""
    weights, state = start(small_run())
    exact, close, rough = (
        hyper_gradients(workers[1], small_run(**options), [weights], state)[0]["gradients"]
        for options in (
            {},
            {"hyper_gradient": "finite_difference", "difference_step": 1e-5},
            {"hyper_gradient": "first_order"},
        )
    )
    assert error(close, exact) < 1e-2
    assert error(rough, exact) > 1e-3


OPTIONS = [
    {},
    {"rollback": False},
    {"meta_every": 2, "meta_warmup_steps": 1},
    {"standardize": True, "clip_norm": 0.5},
    {"loss_weights": "none", "channel_weights": "none"},
]


@pytest.mark.parametrize("options", [OPTIONS[0], *slow(OPTIONS[1:])], ids=str)
def test_ten_iterations(workers: Any, options: Any) -> None:
    """Ten full iterations across a rate drop, gates at 0, inside and at 6."""
    run = small_run(**options)
    weights, _ = start(run)
    rates = [0.01] * 5 + [0.001] * 5
    first, second = (
        call(
            worker,
            Operations.train_steps,
            run,
            weights=weights,
            batches=[make_batch(1), make_batch(2)],
            learning_rates=rates,
        )
        for worker in workers
    )
    assert np.allclose(first["losses"], second["losses"], rtol=1e-9)
    # Adam turns the sign of a tiny hyper-gradient into a whole step, hence not 1e-9.
    assert error(first["weights"], second["weights"]) < 1e-7
    assert error(first["state"], second["state"]) < 1e-7
    has_meta = bool([name for name in first["weights"] if name.startswith("meta")])
    expected = {0: 10, 1: 4}["meta_every" in options] if has_meta else 0
    assert int(first["state"]["meta_step"]) == expected


@pytest.fixture(scope="module")
def one_batch(workers: Any) -> Any:
    """Start, and what one whole batch leaves, in either backend."""
    run = small_run()
    weights, _ = start(run)
    results = [
        call(
            worker,
            Operations.train_steps,
            run,
            weights=weights,
            batches=[make_batch()],
            learning_rates=[RATE],
        )
        for worker in workers
    ]
    return run, weights, results


def test_a_batch_is_one_plain_step(one_batch: Any) -> None:
    """Theta and momentum: one SGD step on cross-entropy + matching loss, nothing else."""
    run, weights, results = one_batch
    problem, pooled, pairs = numpy_problem(run, weights)
    used = {
        p.name: reference.gates(p, pooled[p.source], weights, run.method_settings.beta)[2]
        for p in pairs
    }
    for result in results:
        names = [n.removesuffix("/momentum") for n in result["state"] if n.endswith("/momentum")]
        theta = {name: weights[name] for name in names}
        zeros = {name: np.zeros_like(value) for name, value in theta.items()}
        gradient = problem.gradient(theta, used, hard=True)
        after, velocity = reference.sgd(
            theta, zeros, gradient, RATE, run.optimizer.momentum, run.optimizer.weight_decay
        )
        assert error({n: result["weights"][n] for n in names}, after) < 1e-10
        # A cancelled bias has momentum from decay alone.
        assert error({n: result["state"][f"{n}/momentum"] for n in names}, velocity) < 1e-9


def test_statistics_take_two_updates(one_batch: Any) -> None:
    """Batch statistics at the old theta, then at theta_0, each with the layer's share."""
    run, weights, results = one_batch
    problem, *_ = numpy_problem(run, weights)
    norms = [node for node in declare_network(run).nodes if node.layer.kind == "batch_norm"]
    for result in results:
        expected = {n: v for n, v in weights.items() if "moving_" in n and "source" not in n}
        for theta in (weights, result["weights"]):
            values, _ = problem.forward(theta)
            for node in norms:
                inputs = values[node.inputs[0]]
                count = inputs.size // inputs.shape[-1]
                batch = {
                    "moving_mean": inputs.mean((0, 1, 2)),
                    "moving_variance": inputs.var((0, 1, 2)) * count / (count - 1),
                }
                for part, value in batch.items():
                    name, share = f"{node.name}/{part}", node.layer.momentum
                    expected[name] = share * expected[name] + (1 - share) * value
        assert error({n: result["weights"][n] for n in expected}, expected) < 1e-10


@pytest.mark.slow
def test_the_head_moves_in_matching_steps(workers: Any) -> None:
    """Without look-ahead rollback, T matching steps move the head by momentum and decay alone."""
    run = small_run(rollback=False, num_inner_steps=2)
    weights, _ = start(run)
    problem, pooled, pairs = numpy_problem(run, weights)
    used = {
        p.name: reference.gates(p, pooled[p.source], weights, run.method_settings.beta)[2]
        for p in pairs
    }
    names = [p.name for p in resolve_networks(run).trained_network.parameters if p.is_trainable]
    theta = {name: weights[name] for name in names}
    velocity = {name: np.zeros_like(value) for name, value in theta.items()}
    numbers = (RATE, run.optimizer.momentum, run.optimizer.weight_decay)
    for terms, hard in ((used, True), (used, False), (used, False), ({}, True)):
        before = theta
        gradient = problem.gradient(theta, terms, hard=hard)
        theta, velocity = reference.sgd(theta, velocity, gradient, *numbers)
        if not hard:
            assert not gradient["head/kernel"].any()
            assert np.abs(theta["head/kernel"] - before["head/kernel"]).max() > 1e-6
    for worker in workers:
        result = call(
            worker,
            Operations.train_steps,
            run,
            weights=weights,
            batches=[make_batch()],
            learning_rates=[RATE],
        )
        assert error({n: result["weights"][n] for n in names}, theta) < 1e-9


@pytest.mark.slow
def test_rollback_leaves_no_trace_of_the_look_ahead(one_batch: Any, workers: Any) -> None:
    """T = 1 leaves the same theta and momentum as T = 2."""
    _, weights, results = one_batch
    for worker, expected in zip(workers, results, strict=True):
        found = call(
            worker,
            Operations.train_steps,
            small_run(num_inner_steps=1),
            weights=weights,
            batches=[make_batch()],
            learning_rates=[RATE],
        )
        for name, value in found["weights"].items():
            if not name.startswith("meta"):
                assert np.array_equal(value, expected["weights"][name]), name


def test_a_stopped_mean_gradient_is_seen(tmp_path: Path) -> None:
    """Batch norm with a variance around a constant mean has right gradients and a wrong Hessian."""
    run = small_run()
    weights, state = start(run)
    _, expected, _ = reference_hyper_gradient(run, weights, state)
    plant = tmp_path / "plant.py"
    plant.write_text(STOPPED_MEAN, encoding="utf-8")
    interpreter = tmp_path / "python"
    with pytest.MonkeyPatch.context() as patch:
        # Shifted out are what starts the server: -P, -m and its module.
        interpreter.write_text(f'#!/bin/sh\nshift 3\nexec {sys.executable} {plant} "$@"\n')
        interpreter.chmod(0o755)
        patch.setenv("POC_TF_PYTHON", str(interpreter))
        with Worker("tf") as planted:
            found = hyper_gradients(planted, run, [weights], state)[0]
    assert error(found["gradients"], expected) > 1e-6


STOPPED_MEAN = """
import sys
import tensorflow as tf
from poc.tf_impl.layers import batch_norm

def stopped(inputs, gamma, beta, epsilon):
    axes = tuple(range(inputs.shape.rank - 1))
    mean, variance = tf.nn.moments(inputs, axes)
    outputs = (inputs - mean) * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    return outputs, tf.stop_gradient(mean), tf.stop_gradient(variance)

batch_norm._written_out = stopped
from poc.shared.engine.server.__main__ import main
main(sys.argv[1])
"""


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="Expected sgd"):
        load_run(method="l2t-ww", assignments=["optimizer.name=adam"])
    run = small_run(pairs=("block1/relu2>nowhere",))
    with pytest.raises(UsageError, match="Expected SOURCE>TARGET"):
        _ = resolve_networks(run).trained_network
    with pytest.raises(UsageError, match="Expected a map"):
        _ = resolve_networks(small_run(target_taps=("pool",))).trained_network
