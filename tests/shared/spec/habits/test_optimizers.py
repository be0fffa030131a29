"""Numbers of an update under native habits."""

from poc.shared.spec.habits.optimizers import decayed_by_run, update_rule
from poc.shared.spec.run import RunSpec

NAMES = ["conv/kernel", "conv/bias", "norm/gamma", "norm/beta", "class_token"]


def make_run(backend, habits, **optimizer):
    return RunSpec.parse(
        {"method": "scratch", "backend": backend, "habits": habits, "optimizer": optimizer}, ""
    )


def test_common_rules_stay_as_they_are() -> None:
    run = make_run("tf", "common", weight_decay=0.1)
    assert update_rule(run) is run.optimizer
    assert decayed_by_run(run, NAMES) == [True] * 5


def test_the_default_of_epsilon_is_that_of_the_framework() -> None:
    native = {"optimizer": "native"}
    assert update_rule(make_run("tf", native)).epsilon == 1e-7
    assert update_rule(make_run("torch", native)).epsilon == 1e-8
    assert update_rule(make_run("tf", native, epsilon=1e-3)).epsilon == 1e-3


def test_keras_regularizes_kernels_with_twice_the_factor() -> None:
    native = {"regularization": "native"}
    run = make_run("tf", native, name="sgd", weight_decay=0.1)
    assert update_rule(run).weight_decay == 0.2
    assert decayed_by_run(run, NAMES) == [True, False, False, False, False]
    other = make_run("torch", native, name="sgd", weight_decay=0.1)
    assert update_rule(other) is other.optimizer
    assert decayed_by_run(other, NAMES) == [True] * 5


def test_adamw_is_decoupled_in_both() -> None:
    run = make_run("tf", {"regularization": "native"}, name="adamw", weight_decay=0.1)
    assert update_rule(run).weight_decay == 0.1
    assert decayed_by_run(run, NAMES) == [True] * 5
