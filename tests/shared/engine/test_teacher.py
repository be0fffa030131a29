"""Sources, pairs, stages and what a method declares beside its target: no framework needed."""

import json

import numpy as np
import pytest

from poc.shared.engine.numerics.resizing import average_matrices, average_matrix, resize_matrix
from poc.shared.engine.resolving.stages import check_stages
from poc.shared.engine.resolving.teacher import check_teacher, require_teacher, resolve_teacher
from poc.shared.engine.teacher import starting_weights, step_coefficients
from poc.shared.engine.training.cache_plan import keep_for_training
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.stages import find_stage, plan_stages

SHAPE = {"input_shape": [28, 28, 1], "num_classes": 10}


def make_run(method, options=None, **fields):
    return RunSpec.parse({"method": method, "method_options": options or {}, **SHAPE, **fields}, "")


def beside(run):
    own = {p.name for p in declare_network(run).parameters}
    return {
        p.name: p.shape
        for p in resolve_networks(run).trained_network.parameters
        if p.name not in own
    }


def test_stages_share_out_the_epochs():
    stages = plan_stages(10, ("hint", 3), last="rest")
    assert [(s.name, s.first_epoch, s.num_epochs) for s in stages] == [
        ("hint", 1, 3),
        ("rest", 4, 7),
    ]
    assert [find_stage(stages, epoch).name for epoch in (1, 3, 4, 10)] == [
        "hint",
        "hint",
        "rest",
        "rest",
    ]
    assert [s.name for s in plan_stages(1, ("hint", 3), last="rest")] == ["rest"]
    assert [s.num_epochs for s in plan_stages(3, ("hint", 9), last="rest")] == [2, 1]


def test_fitnets_stages_and_its_falling_weight():
    run = make_run("fitnets", num_epochs=10)
    assert [(s.name, s.num_epochs) for s in run.stages] == [("hint", 3), ("distillation", 7)]
    resolved = resolve_networks(run)
    assert resolved.coefficients(0.0) == {"soft": 4.0}
    assert resolved.coefficients(1.0) == {"soft": 1.0}
    labels = np.array([0, 1, 1])
    assert step_coefficients(resolved, 0.5, labels) == {"coefficient/soft": np.asarray(2.5)}
    assert len(make_run("fitnets", {"stages": "one"}).stages) == 1


def test_a_step_gets_the_mean_class_weight_if_classes_have_weights():
    weights = [1.0, 3.0, *[2.0] * 8]
    run = make_run("fitnets", num_epochs=10).replace(loss={"class_weights": weights})
    labels = np.array([0, 0, 0, 1])
    found = step_coefficients(resolve_networks(run), 0.5, labels)
    assert found == {"coefficient/soft": 2.5, "coefficient/mean_class_weight": 1.5}
    assert all(value.shape == () for value in found.values())


def test_regressors_are_declared_and_leave_with_their_stage():
    run = make_run("fitnets", stage="hint")
    assert beside(run) == {
        "regressor/block2>block2/kernel": (1, 1, 16, 16),
        "regressor/block2>block2/bias": (16,),
    }
    assert not beside(run.replace(stage="distillation"))
    larger = make_run("fitnets", {"pairs": ["block3>block2"]}, stage="hint")
    assert beside(larger)["regressor/block3>block2/kernel"] == (8, 8, 16, 32)
    options = {"pairs": ["block2>block1"], "regressor": "repdistiller", "stages": "one"}
    assert beside(make_run("fitnets", options))["regressor/block2>block1/conv/kernel"] == (
        3,
        3,
        8,
        16,
    )
    assert resolve_networks(make_run("fitnets", options)).trained_network.output == "head"


def test_lwf_starts_from_the_source_s_body_and_head():
    run = make_run("lwf", teacher={"num_classes": 7})
    weights = starting_weights(resolve_networks(run))
    assert weights["old_head/expand/kernel"].shape[-1] == 7
    for name in ("block1/conv1/reduce/kernel", "block3/norm2/moving_variance"):
        np.testing.assert_array_equal(weights[name], weights[f"source/{name}"])
    for part in ("reduce/kernel", "expand/kernel", "expand/bias"):
        np.testing.assert_array_equal(weights[f"old_head/{part}"], weights[f"source/head/{part}"])
    drawn = draw_weights(declare_network(run).parameters, run.seed)
    np.testing.assert_array_equal(weights["head/reduce/kernel"], drawn["head/reduce/kernel"])


def test_a_drawn_source_differs_from_its_target():
    weights = starting_weights(resolve_networks(make_run("kd")))
    assert (weights["head/reduce/kernel"] != weights["source/head/reduce/kernel"]).any()


def test_a_read_bias_is_not_cancelled():
    # A batch norm subtracts the bias from the logits' way, but not from the tapped layer's.
    plain = resolve_networks(make_run("attention_transfer")).trained_network
    tapped = resolve_networks(
        make_run("attention_transfer", {"pairs": ["block1/conv1>block1/conv1"]})
    ).trained_network
    assert "block1/conv1/expand/bias" in plain.cancelled_biases
    assert "block1/conv1/expand/bias" not in tapped.cancelled_biases


def test_average_matrix_is_the_mean_over_shared_bins():
    values = np.arange(5.0)
    np.testing.assert_allclose(average_matrix(5, 2) @ values, [1.0, 3.0])  # bins 0-2 and 2-4
    np.testing.assert_allclose(average_matrix(4, 2) @ values[:4], [0.5, 2.5])
    assert average_matrices((4, 4, 1), (4, 6, 1)) is None
    assert average_matrices((4, 9, 1), (4, 3, 1))[0].shape == (4, 4)


@pytest.mark.parametrize("sizes", [(56, 7), (7, 56), (32, 2), (5, 3), (3, 5), (4, 4)])
def test_bilinear_matrix_against_a_loop(sizes):
    old, new = sizes
    expected = np.zeros((new, old))
    for row in range(new):
        position = min(max((row + 0.5) * old / new - 0.5, 0), old - 1)
        low = int(position)
        expected[row, low] += 1 - (position - low)
        expected[row, min(low + 1, old - 1)] += position - low
    np.testing.assert_allclose(resize_matrix(old, new), expected, atol=1e-15)


WRONG = {
    "classes": ("kd", {}, {"num_classes": 7}, ["lightnet_plain with 7", "with 10"]),
    "soft loss": ("fitnets", {}, {"num_classes": 7}, ["7 classes", "10"]),
    "source tap": (
        "attention_transfer",
        {"pairs": ["no>block1"]},
        {},
        ["teacher", "'no'", "block1"],
    ),
    "target tap": ("attention_transfer", {"pairs": ["block1>no"]}, {}, ["student", "'no'"]),
    "vector": ("fitnets", {"pairs": ["pool>block1"]}, {}, ["pool>block1", "teacher", "(32,)"]),
    "no arrow": ("fitnets", {"pairs": ["block1"]}, {}, ["SOURCE>TARGET"]),
    "sizes": ("fitnets", {"pairs": ["block1>block3"]}, {}, ["(28, 28, 8)", "(7, 7, 32)", "1x1"]),
    "body": ("lwf", {}, {"model": {"name": "lightnet_residual"}}, ["lightnet_residual", "_plain"]),
    "normalization": ("kd", {}, {"normalization": "tf"}, ["'unit'", "'tf'"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_pair_is_refused_naming_both_sides(case):
    method, options, source, words = WRONG[case]

    def check():
        resolved = resolve_networks(make_run(method, options, teacher=source))
        check_stages(resolved)
        check_teacher(resolved)

    with pytest.raises(UsageError) as refusal:
        check()
    assert [word for word in words if word not in str(refusal.value)] == []


@pytest.mark.parametrize(
    ("method", "options", "word"),
    [
        ("kd", {"alpha": 1.5}, "mixing"),
        ("kd", {"temperature": 0}, "temperature"),
        ("lwf", {"form": "cross_architecture", "warmup_epochs": 2}, "warmup_epochs"),
        ("fitnets", {"stages": "one", "hint_epochs": 2}, "Got hint_epochs=2 with stages='one'"),
        ("attention_transfer", {"power": 0.5}, "power"),
    ],
)
def test_wrong_options_are_refused(method, options, word):
    with pytest.raises(UsageError, match=word):
        make_run(method, options)


def test_only_methods_that_learn_from_a_source_take_one():
    with pytest.raises(UsageError, match="learns from labels alone"):
        make_run("scratch", teacher={})
    with pytest.raises(UsageError, match="without a teacher"):
        require_teacher(make_run("kd"))


def test_keys_of_the_source_reach_its_model():
    assignments = ["method=kd", "teacher.model=lightnet_residual", "teacher.model.k=4"]
    source = load_run(None, [*assignments, "teacher.cache=true"]).teacher
    assert source.model.name == "lightnet_residual"
    assert dict(source.model.options) == {"k": 4}
    assert source.cache


@pytest.fixture
def folder(tmp_path):
    """A finished run's folder, as far as a source needs it."""
    run = make_run("scratch", model={"name": "lightnet_residual"}, num_classes=10)
    (tmp_path / "checkpoints").mkdir()
    weights = draw_weights(declare_network(run).parameters, 3)
    write_arrays(tmp_path / "checkpoints" / "best.safetensors", weights)
    (tmp_path / "run.json").write_text(json.dumps({"run": run.model_dump(mode="json")}))
    return tmp_path


def test_a_run_folder_says_what_its_network_is(folder):
    run = resolve_teacher(make_run("kd", teacher={"weights": str(folder)}))
    check_teacher(resolve_networks(run))
    assert resolve_networks(run).teacher_network.name == "lightnet_residual"
    assert run.teacher.normalization == "unit"
    drawn = draw_weights(resolve_networks(run).teacher_network.parameters, 3)
    np.testing.assert_array_equal(
        starting_weights(resolve_networks(run))["source/head/kernel"],
        drawn["head/kernel"].astype(np.float64),
    )


def test_a_source_that_is_not_what_was_said_is_refused(folder, tmp_path):
    weights = str(folder / "checkpoints" / "best.safetensors")
    with pytest.raises(UsageError, match=r"teacher .*best\.safetensors.*lightnet_plain"):
        check_teacher(
            resolve_networks(resolve_teacher(make_run("kd", teacher={"weights": weights})))
        )
    named = {"weights": str(folder), "model": {"name": "lightnet_plain"}}
    with pytest.raises(UsageError, match=r"teacher\.model"):
        resolve_teacher(make_run("kd", teacher=named))
    with pytest.raises(UsageError, match="neither a file nor a run folder"):
        resolve_teacher(make_run("kd", teacher={"weights": str(tmp_path / "none")}))


def test_outputs_of_a_source_are_kept_where_it_is_asked_for():
    class Pipeline:
        indices = np.array([9, 4, 7, 2])

    kept = keep_for_training(
        resolve_networks(make_run("kd", teacher={"cache": True})), Pipeline(), {}
    )
    for indices in ([9, 2], [4, 7], [7, 9], [2, 4]):
        rows = np.array(indices, np.float64)[:, None]
        found = kept.look_up(
            np.array(indices), rows, lambda images: {"teacher_logits": 10 * images}
        )
        np.testing.assert_array_equal(found["teacher_logits"], 10 * rows)
    assert kept.is_whole
    assert keep_for_training(resolve_networks(make_run("kd")), Pipeline(), {}) is None
