"""Which frameworks of `--frameworks` search, and which test."""

import pytest

from poc.shared.actions.study.searching.frameworks import (
    check_frameworks,
    name_searching,
    name_tested,
    require_installed,
)
from poc.shared.engine.launch import installed
from poc.shared.errors import UsageError


@pytest.mark.parametrize(
    ("given", "searching", "tested"),
    [
        (("torch", "tf"), ("torch",), ("torch", "tf")),
        (("tf", "torch"), ("tf",), ("tf", "torch")),
        (("tf",), ("tf",), ("tf",)),
        (("both",), ("torch", "tf"), ("torch", "tf")),
    ],
)
def test_the_first_searches_or_each(given, searching, tested):
    check_frameworks(given)
    assert name_searching(given) == searching
    assert name_tested(given) == tested


@pytest.mark.parametrize("given", [(), ("jax",), ("tf", "tf"), ("both", "tf"), ("tf", "jax")])
def test_others_are_refused(given):
    with pytest.raises(UsageError, match="--frameworks"):
        check_frameworks(given)


@pytest.mark.parametrize(
    ("given", "advice"),
    [(("torch", "tf"), "pip install 'poc[tf]', or --frameworks torch"), (("tf",), "'poc[tf]'.")],
)
def test_a_framework_that_is_not_installed_is_refused(given, advice, monkeypatch):
    lacking = {"tf": ["tensorflow", "keras"], "torch": []}
    monkeypatch.delenv("POC_TF_PYTHON", raising=False)
    monkeypatch.setattr(installed, "missing_packages", lacking.__getitem__)
    with pytest.raises(UsageError, match="tf needs tensorflow and keras") as caught:
        require_installed(given)
    assert advice in str(caught.value)
    require_installed(("torch",))
    monkeypatch.setenv("POC_TF_PYTHON", "/another/python")
    require_installed(given)
