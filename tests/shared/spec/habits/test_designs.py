"""The arms of each design, by hand."""

from poc.shared.spec.habits.designs import list_arms

THREE = ("optimizer", "batch_norm", "padding")


def names(habits, design):
    return {arm.name: set(arm.native) for arm in list_arms(habits, design)}


def test_a_full_design_of_three():
    assert names(THREE, "full") == {
        "common": set(),
        "native": set(THREE),
        "optimizer": {"optimizer"},
        "batch_norm": {"batch_norm"},
        "padding": {"padding"},
        "all_but_optimizer": {"batch_norm", "padding"},
        "all_but_batch_norm": {"optimizer", "padding"},
        "all_but_padding": {"optimizer", "batch_norm"},
    }


def test_the_smaller_designs():
    assert list(names(THREE, "ends")) == ["common", "native"]
    assert list(names(THREE, "single")) == ["common", "native", *THREE]


def test_equal_arms_are_there_once():
    assert list(names(["padding"], "full")) == ["common", "native"]
    assert list(names(["loss", "padding"], "full")) == ["common", "native", "loss", "padding"]
