"""The candidates of a study, and the order in which they are tried first."""

import pytest

from poc.shared.actions.study.candidates import (
    check_files,
    has_students,
    list_candidates,
    list_weights,
)
from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run


def test_without_weights_the_small_nets_are_left():
    names = [item.name for item in list_candidates(())]
    assert names[:2] == ["lightlayers k=3", "small net of conv2d"]
    assert set(names) == {
        *(f"lightlayers k={k}" for k in range(1, 6)),
        "small net of conv2d",
        "small net of separable",
    }


def test_fitted_heads_come_first_and_slow_ones_last():
    tiers = [item.tier for item in list_candidates(["a.safetensors", "b.safetensors"])]
    assert tiers == sorted(tiers)
    names = [item.name for item in list_candidates(["a.safetensors", "b.safetensors"])]
    assert names[:4] == ["logistic on a", "logistic on b", "knn on a", "knn on b"]


def test_files_of_one_name_in_two_folders_are_told_apart():
    names = [item.name for item in list_candidates(["x/net.pt", "y/net.pt"], ["knn"])]
    assert names == ["knn on x-net", "knn on y-net"]


def test_a_fitted_head_has_nothing_to_search():
    kinds = {item.name: item.kind for item in list_candidates(["a.safetensors"])}
    assert kinds["knn on a"] is None
    assert kinds["fine-tuned a"] == kinds["FixRes a"] == "tuned"
    assert kinds["small net of conv2d"] == "normed"


@pytest.mark.parametrize(
    ("weights", "methods", "words"),
    [
        ((), ["knn"], "no --weights"),
        ((), ["fixres"], "no --weights"),
        (["a"], ["knnn"], "Try knn"),
        ((), ["resnet"], "--methods"),
        ((), ["kd"], "another method, too"),
    ],
)
def test_wrong_methods_are_refused(weights, methods, words):
    with pytest.raises(UsageError, match=words):
        list_candidates(weights, methods)


def test_fixres_comes_after_fine_tuning():
    names = [item.name for item in list_candidates(["a.safetensors"])]
    assert names.index("FixRes a") > names.index("fine-tuned a")


def test_students_are_in_no_list_of_the_start():
    assert all(item.teacher is None for item in list_candidates(["a.safetensors"]))
    assert has_students(())
    assert has_students(("scratch", "kd"))
    assert not has_students(("scratch",))


@pytest.mark.parametrize("candidate", list_candidates(()), ids=lambda item: item.name)
def test_their_settings_are_those_of_a_run(candidate):
    run = load_run(None, candidate.settings)
    assert run.model_spec.name == "lightnet_residual"
    assert run.method in ("lightlayers", "scratch")


def test_a_converted_file_keeps_the_name_that_was_given():
    (one,) = list_candidates(["nets/net.pth"], ["knn"], {"nets/net.pth": "/cache/a.safetensors"})
    assert one.name == "knn on net"
    assert "initial_weights=/cache/a.safetensors" in one.settings


def test_weights_of_several_candidates_are_one_file():
    found = list_candidates(["a.safetensors", "b.safetensors"])
    assert [path.name for path in list_weights(found)] == ["a.safetensors", "b.safetensors"]
    assert list_weights(list_candidates(())) == []


def test_imagenet_weights_of_a_model_are_a_body(tmp_path):
    check_files(["imagenet:mobilenet_v2"])
    located = {"imagenet:mobilenet_v2": "/cache/mobilenet_v2.safetensors"}
    (one,) = list_candidates(["imagenet:mobilenet_v2"], ["knn"], located)
    assert one.name == "knn on imagenet-mobilenet_v2"
    assert "initial_weights=/cache/mobilenet_v2.safetensors" in one.settings
