"""A framework in the caller's process: what is refused, and what is warned of."""

import subprocess
import sys
import warnings

import pytest

from poc.shared.api import frameworks
from poc.shared.api.frameworks import is_dangerous, load_framework
from poc.shared.errors import UsageError

TWO = """
import warnings
import poc
shape = {"input_shape": (8, 8, 1), "num_classes": 2, "widths": [2, 2], "k": 1}
first = poc.build_model("lightnet_plain", backend="FIRST", **shape)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    poc.build_model("lightnet_plain", backend="SECOND", **shape)
found = [one for one in caught if one.category is RuntimeWarning]
print(len(found), found[0].filename, str(found[0].message).partition(".")[0])
"""


def pretend_loaded(monkeypatch, *names):
    """Make some of the three packages look imported, and the others not."""
    for name in ("tensorflow", "torch", "torchvision"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        if name in names:
            monkeypatch.setitem(sys.modules, name, object())


@pytest.fixture
def loads(monkeypatch):
    monkeypatch.setattr(frameworks, "load", lambda name: f"backend {name}")
    monkeypatch.setattr(frameworks, "find_spec", lambda name: name == "torchvision")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], False),
        (["torch"], False),
        (["tensorflow"], False),
        (["tensorflow", "torch"], True),
        (["tensorflow", "torch", "torchvision"], False),
    ],
)
def test_the_danger_is_a_later_import_of_torchvision(names, expected, loads, monkeypatch):
    pretend_loaded(monkeypatch, *names)
    assert is_dangerous() == expected


def test_it_is_warned_of(loads, monkeypatch):
    pretend_loaded(monkeypatch, "tensorflow", "torch")
    with pytest.warns(RuntimeWarning, match="Importing torchvision from here on"):
        assert load_framework("tf") == "backend tf"
    pretend_loaded(monkeypatch, "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_framework("torch") == "backend torch"


def test_keras_over_another_framework_is_refused(loads, monkeypatch):
    pretend_loaded(monkeypatch)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert load_framework("torch") == "backend torch"
    with pytest.raises(UsageError, match=r"^Got KERAS_BACKEND='jax' with backend='tf'"):
        load_framework("tf")


@pytest.mark.slow
@pytest.mark.tf
@pytest.mark.torch
@pytest.mark.parametrize("order", [("tf", "torch"), ("torch", "tf")])
def test_both_frameworks_in_one_process(order):
    """They do not end it, in either order; the second one warns, at the line of the caller."""
    code = TWO.replace("FIRST", order[0]).replace("SECOND", order[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = "TensorFlow and PyTorch are now in one process"
    assert done.stdout.strip() == f"1 <string> {said}"
