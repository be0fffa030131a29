"""A run is resolved once, and its settings stay plain values."""

import inspect

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec import run as run_module
from poc.shared.spec import run_settings
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec

IMAGES = {"input_shape": [28, 28, 1], "num_classes": 10}


def make_run(method, **fields):
    return RunSpec.parse({"method": method, "model": {"name": "lightnet_plain"}, **fields}, "")


def test_each_stage_is_declared_once_and_handed_on():
    run = resolve_networks(make_run("fitnets", num_epochs=4, **IMAGES))
    assert [stage.name for stage in run.stages] == ["hint", "distillation"]
    for stage in run.stages:
        assert run.at_stage(stage.name) is run.at_stage(stage.name)
        assert run.at_stage(stage.name).spec.stage == stage.name
    hint, last = (run.at_stage(stage.name).trained_network for stage in run.stages)
    assert len(hint.parameters) > len(last.parameters)
    assert run.trained_network.parameters == last.parameters


def test_the_teacher_is_declared_where_the_method_has_one():
    assert resolve_networks(make_run("scratch", **IMAGES)).teacher_network is None
    teacher = {"model": {"name": "lightnet_residual"}}
    found = resolve_networks(make_run("kd", teacher=teacher, **IMAGES)).teacher_network
    assert found is not None
    assert found.name == "lightnet_residual"


def test_a_run_whose_images_are_unknown_cannot_be_resolved():
    with pytest.raises(UsageError, match="input_shape=None and num_classes=None"):
        declare_network(make_run("scratch"))
    with pytest.raises(UsageError, match="input_shape=None and num_classes=None"):
        resolve_networks(make_run("scratch"))


def test_settings_declare_no_network():
    returned = [
        inspect.signature(member.fget).return_annotation
        for _, member in inspect.getmembers(RunSpec, lambda found: isinstance(found, property))
        if member.fget is not None
        and member.fget.__module__ in (run_module.__name__, run_settings.__name__)
    ]
    assert returned
    assert Network not in returned
    assert not hasattr(run_module, "Network")
    assert not hasattr(run_settings, "Network")


def test_images_that_are_too_small_for_a_default_model_lead_to_another_one():
    run = RunSpec.parse({"method": "scratch", **IMAGES}, "")
    with pytest.raises(UsageError, match=r"--model names another, such as (\w+), which") as error:
        declare_network(run)
    name = str(error.value).split("such as ")[1].split(",")[0]
    assert declare_network(run.replace(model={"name": name})).output
    # Nothing is added for a model that is no default of its method.
    with pytest.raises(UsageError, match=r"train_size and test_size of fixres\.$"):
        declare_network(make_run("kd", model={"name": "conv2d_chain"}, **IMAGES))
