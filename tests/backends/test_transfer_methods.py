"""What training with a source must and must not change, in each backend's real trainer."""

from collections.abc import Iterator

import numpy as np
import pytest

from poc.shared.engine.teacher import starting_weights
from poc.shared.engine.worker.handle import Worker
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.spec.teacher import TEACHER_PREFIX
from poc.tests.helpers.workers import transfer_probe
from poc.tests.helpers.workers.transfer_probe import open_probe
from poc.tests.reference.distillation_losses import semckd_matching
from poc.tests.reference.layers import all_values, cross_entropy, differentiate

NET = {"name": "lightnet_plain", "options": {"layer": "conv2d", "widths": [3, 4, 5]}}
# Forms of one stage, in which everything learns.
ONE_STAGE = {"lwf": {"warmup_epochs": 0}, "fitnets": {"stages": "one"}}
DISTILLING = [name for name, row in METHODS.items() if row.distillation is not None]
SOFT = {"coefficient/soft": 2.0}
generator = np.random.default_rng(0)
BATCHES = [
    {
        "images": generator.normal(size=(6, 10, 9, 2)).astype(np.float32),
        "labels": generator.integers(0, 3, 6),
    }
    for _ in range(3)
]


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


def make_run(method, options=None, **fields):
    values = {
        "method": method,
        "method_options": options or {},
        "model": NET,
        "input_shape": [10, 9, 2],
        "num_classes": 3,
        "precision": "float64",
        "optimizer": {"name": "sgd"},
    }
    return RunSpec.parse({**values, **fields}, "")


def walk(probe, run, weights=None, keep=False):
    return probe.call(
        transfer_probe.walk,
        run={**run.model_dump(mode="json"), "backend": probe.backend},
        weights=starting_weights(resolve_networks(run)) if weights is None else weights,
        batches=BATCHES,
        extras=SOFT if resolve_networks(run).coefficients(0.0) else {},
        keep=keep,
    )


def moved(run, result):
    """Names whose values have changed."""
    before = starting_weights(resolve_networks(run))
    return {name for name, value in result["weights"].items() if (value != before[name]).any()}


@pytest.mark.parametrize("method", DISTILLING)
def test_the_source_stays_and_the_student_learns_in_training_mode(probe, method):
    run = make_run(method, ONE_STAGE.get(method))
    result = walk(probe, run)
    before = starting_weights(resolve_networks(run))
    for name, value in result["source"].items():
        np.testing.assert_array_equal(value, before[TEACHER_PREFIX + name], err_msg=name)
    # Also its running statistics, which training mode would move, as it does the student's.
    assert any(name.endswith("moving_mean") for name in result["source"])
    assert "block3/norm2/moving_mean" in moved(run, result)
    assert all(np.isfinite(m["loss"]) for m in result["metrics"])


@pytest.mark.parametrize("method", DISTILLING)
def test_kept_outputs_change_nothing(probe, method):
    run = make_run(method, ONE_STAGE.get(method))
    live, kept = walk(probe, run), walk(probe, run, keep=True)
    for name, value in live["weights"].items():
        np.testing.assert_array_equal(kept["weights"][name], value, err_msg=name)


def test_kd_weighs_its_terms_as_mixed(probe):
    def terms(**options):
        return walk(probe, make_run("kd", options))["metrics"][0]

    alone = terms(alpha=0.0)
    assert alone["loss_soft"] == 0
    convex, additive = terms(alpha=0.25), terms(alpha=0.25, mixing="additive")
    assert convex["loss_hard"] == pytest.approx(0.75 * alone["loss_hard"])
    assert additive["loss_hard"] == pytest.approx(alone["loss_hard"])
    assert additive["loss_soft"] == pytest.approx(convex["loss_soft"])
    assert convex["loss"] == pytest.approx(convex["loss_hard"] + convex["loss_soft"])
    plain = terms(alpha=0.25, scale_by_temperature_squared=False)
    assert convex["loss_soft"] == pytest.approx(16 * plain["loss_soft"])


def test_the_hint_stage_leaves_later_layers_alone(probe):
    run = make_run("fitnets", stage="hint", optimizer={"name": "sgd", "weight_decay": 0.1})
    result = walk(probe, run)
    changed = moved(run, result)
    # The middle tap is block2: what follows keeps its weights and its running statistics.
    assert not [name for name in changed if name.startswith(("block3", "head"))]
    learnt = ("block1/conv1/kernel", "block2/norm2/gamma", "block2/norm2/moving_mean")
    assert {*learnt, "regressor/block2>block2/kernel"} <= changed
    assert "accuracy" not in result["metrics"][0]


def test_the_second_stage_drops_the_regressor(probe):
    run = make_run("fitnets", stage="distillation")
    result = walk(probe, run)
    assert not [name for name in result["weights"] if name.startswith("regressor")]
    assert "head/expand/kernel" in result["weights"] or "head/kernel" in moved(run, result)
    assert result["metrics"][0]["loss_soft"] > 0


def test_a_zero_regressor_pays_the_hint_s_own_square(probe):
    run = make_run("fitnets", {"stages": "one", "hint_weight": 1.0})
    weights = starting_weights(resolve_networks(run))
    weights |= {name: 0 * weights[name] for name in weights if name.startswith("regressor")}
    paid = walk(probe, run, weights)["metrics"][0]["loss_hint_block2>block2"]
    source = {
        n.removeprefix(TEACHER_PREFIX): v
        for n, v in weights.items()
        if n.startswith(TEACHER_PREFIX)
    }
    hint = probe.call(
        Operations.features,
        run={**run.model_dump(mode="json"), "backend": probe.backend},
        weights=source,
        images=BATCHES[0]["images"],
        taps=["block2"],
    )["block2"]
    assert paid == pytest.approx((hint**2).mean())


def test_lwf_without_the_old_task_is_fine_tuning(probe):
    run = make_run("lwf", {"lambda_old": 0.0, "warmup_epochs": 0})
    tuned, weights = walk(probe, run), starting_weights(resolve_networks(run))
    own = {parameter.name: weights[parameter.name] for parameter in declare_network(run).parameters}
    plain = walk(probe, make_run("scratch"), own)
    for name, value in plain["weights"].items():
        np.testing.assert_allclose(tuned["weights"][name], value, rtol=1e-12, err_msg=name)


def test_lwf_warms_up_the_new_head_alone(probe):
    run = make_run("lwf", stage="warmup", optimizer={"name": "sgd", "weight_decay": 0.1})
    assert moved(run, walk(probe, run)) == {
        p.name for p in declare_network(run).head.parameters if p.is_trainable
    }


def test_lwf_keeps_a_frozen_old_head(probe):
    run = make_run("lwf", {"train_old_head": False})
    changed = moved(run, walk(probe, run))
    assert not [name for name in changed if name.startswith("old_head")]
    assert "block1/conv1/kernel" in changed


SEMCKD = {
    "source_taps": ["block1", "block3"],
    "target_taps": ["block2", "block3"],
    # Longer than the batch: what follows it is 0.
    "row_length": 8,
    "projection_factor": 1,
    "beta": 3.0,
    "soft_weight": 0.0,
}


def semckd_terms(run, weights):
    """The hard loss and the matching (N,) without beta in NumPy, and the weights of the pairs."""
    resolved, batch = resolve_networks(run), BATCHES[0]
    images = batch["images"].astype(np.float64)
    prefix = len(TEACHER_PREFIX)
    source = {n[prefix:]: v for n, v in weights.items() if n.startswith(TEACHER_PREFIX)}
    student = all_values(resolved.network, weights, images, training=True)[0]
    teacher = all_values(resolved.teacher_network, source, images)[0]
    own = {tap: student[resolved.network.node_of(tap)] for tap in SEMCKD["target_taps"]}
    maps = {tap: teacher[resolved.teacher_network.node_of(tap)] for tap in SEMCKD["source_taps"]}
    total, attention = semckd_matching(weights, own, maps, row_length=8)
    hard = cross_entropy(student[resolved.network.output], batch["labels"])
    return hard, total, attention


def test_semckd_is_the_reference(probe):
    """The matching loss, its gradient on every kind of tensor, and the weights of the pairs."""
    run = make_run("semckd", SEMCKD, data={"batch_size": 8})
    weights = {n: v.astype(np.float64) for n, v in starting_weights(resolve_networks(run)).items()}
    _, total, attention = semckd_terms(run, weights)
    metrics = walk(probe, run)["metrics"][0]
    # The mean over the two maps of the student.
    assert metrics["loss_matching"] == pytest.approx(3 * total.mean() / 2, rel=1e-12)
    for (s, t), weight in np.ndenumerate(attention.mean(axis=0)):
        pair = f"{SEMCKD['source_taps'][t]}>{SEMCKD['target_taps'][s]}"
        assert metrics[f"pair_weight/{pair}"] == pytest.approx(weight, rel=1e-12)
        assert 0.01 < weight < 0.99
    found = probe.call(
        Operations.loss_and_gradients,
        run={**run.model_dump(mode="json"), "backend": probe.backend},
        weights=weights,
        batch=BATCHES[0],
    )
    names = [
        name
        for name in found["gradients"]
        if name.startswith(("query/block2/", "key/block3/", "projection/block3>block2/"))
    ] + ["block1/norm1/gamma", "block3/norm2/beta"]
    assert len(names) == 4 + 4 + 7 + 2

    def loss(moved):
        hard, matching, _ = semckd_terms(run, {**weights, **moved})
        return hard.mean() + 3 * matching.mean() / 2

    expected = differentiate(loss, {name: weights[name] for name in names})
    for name, gradient in expected.items():
        scale = np.abs(gradient).max()
        assert scale > 1e-6, name
        # float64: rounding of some thousand terms
        assert np.abs(found["gradients"][name] - gradient).max() <= 1e-12 * max(scale, 1), name


def test_the_sum_over_the_student_s_maps_is_a_multiple_of_their_mean(probe):
    def matching(**options):
        return walk(probe, make_run("semckd", {**SEMCKD, **options}))["metrics"][0]["loss_matching"]

    assert matching(layer_reduction="sum", row_length=64) == pytest.approx(
        2 * matching(row_length=64), rel=1e-12
    )


def test_semckd_without_its_loss_is_training_from_scratch(probe):
    run = make_run("semckd", {"beta": 0.0, "soft_weight": 0.0})
    alone, weights = walk(probe, run), starting_weights(resolve_networks(run))
    own = {parameter.name: weights[parameter.name] for parameter in declare_network(run).parameters}
    plain = walk(probe, make_run("scratch"), own)
    for name, value in plain["weights"].items():
        np.testing.assert_allclose(alone["weights"][name], value, rtol=1e-12, err_msg=name)
