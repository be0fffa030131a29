"""Declared networks with native habits: what changes, and that nothing else does."""

import pytest

from poc.shared.engine.trained_run import keep_habits
from poc.shared.spec.habits.networks import with_habits
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.resolved import declare_network
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.habits import HabitsSpec

IMAGES = {"input_shape": [28, 28, 1], "num_classes": 10}


def declare(name="simple_cnn", shape=(28, 28, 1), **options):
    return ModelSpec(name=name, options=options).declare(shape, 10)


def layers(network, kind):
    return [node.layer for node in network.nodes if node.layer.kind == kind]


def test_common_habits_return_the_network_itself() -> None:
    network = declare()
    assert with_habits(network, HabitsSpec(), "tf") is network


@pytest.mark.parametrize(
    ("framework", "numbers"), [("tf", (0.99, 1e-3, False)), ("torch", (0.9, 1e-5, True))]
)
def test_batch_norms_have_the_defaults_of_their_class(framework, numbers) -> None:
    network = declare("resnet18", (32, 32, 3))
    changed = with_habits(network, HabitsSpec(batch_norm="native"), framework)
    for norm in layers(changed, "batch_norm"):
        assert (norm.momentum, norm.epsilon, norm.corrects_variance) == numbers
    assert changed.parameters == network.parameters
    # Other layers are the same.
    for before, after in zip(network.nodes, changed.nodes, strict=True):
        assert before == after or before.layer.kind == "batch_norm"


def test_dropout_with_its_own_stream_needs_no_mask() -> None:
    network = declare(widths=[4, 4], dropout=0.5)
    assert network.dropouts
    changed = with_habits(network, HabitsSpec(dropout="native"), "torch")
    assert not changed.dropouts
    assert [node.name for node in changed.nodes if node.needs_mask] == []


def test_depth_stays_drawn_by_the_program() -> None:
    network = declare("resnet32_cifar", (12, 12, 3), blocks_per_stage=1, stochastic_depth="row")
    changed = with_habits(network, HabitsSpec(dropout="native"), "torch")
    assert changed.dropouts == network.dropouts


def test_the_optimizers_habit_trains_cancelled_biases() -> None:
    network = declare()
    assert network.cancelled_biases
    changed = with_habits(network, HabitsSpec(optimizer="native"), "tf")
    assert not changed.cancelled_biases


def test_a_run_is_declared_with_its_own_habits() -> None:
    run = RunSpec.parse(
        {"method": "scratch", "model": {"name": "resnet18"}, "habits": "native", **IMAGES}, ""
    )
    epsilons = {
        backend: {
            n.epsilon for n in layers(declare_network(run.replace(backend=backend)), "batch_norm")
        }
        for backend in ("tf", "torch")
    }
    assert epsilons == {"tf": {1e-3}, "torch": {1e-5}}


def test_the_other_backend_computes_a_trained_network_as_it_was_trained() -> None:
    trained = RunSpec.parse(
        {"method": "scratch", "model": {"name": "resnet18"}, "habits": "native", "backend": "tf"}
        | IMAGES,
        "",
    )
    values = trained.model_dump(mode="json")
    keep_habits(values, trained)
    other = RunSpec.parse({**values, "backend": "torch"}, "")
    assert declare_network(other) == declare_network(trained)
    assert declare_network(trained.replace(backend="torch")) != declare_network(trained)
