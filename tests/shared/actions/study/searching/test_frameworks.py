"""Which frameworks of `--frameworks` search, and which test."""

import pytest

from poc.shared.actions.study.searching.frameworks import (
    check_frameworks,
    name_searching,
    name_tested,
)
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
