"""Every model of the table of models has rows in the tests' table: counts, and a small form."""

from collections.abc import Iterable

from poc.shared.spec.networks.architectures.table import MODELS
from poc.tests.helpers.architectures.table import ARCHITECTURES

# Nobody publishes their counts.
UNCOUNTED = {
    "inception_module": "one module; a course prints its multiply-adds (test_architectures)",
    "highway": "the paper has no net of this width",
}


def without_small_form(models: Iterable[str]) -> set[str]:
    return set(models) - {row.model for row in ARCHITECTURES.values() if row.small is not None}


def without_counts(models: Iterable[str]) -> set[str]:
    return set(models) - {row.model for row in ARCHITECTURES.values() if row.counts is not None}


def test_every_model_has_a_small_form() -> None:
    assert without_small_form(MODELS) == set()


def test_every_model_has_published_counts() -> None:
    assert without_counts(MODELS) == set(UNCOUNTED)


def test_a_new_model_is_named() -> None:
    assert without_small_form({*MODELS, "planted"}) == {"planted"}
    assert without_counts({*MODELS, "planted"}) == {"planted", *UNCOUNTED}


def test_a_row_begins_with_its_model_and_holds_something() -> None:
    strays = {
        name
        for name, row in ARCHITECTURES.items()
        if name.split()[0] != row.model
        or row.model not in MODELS
        or not (row.counts or row.macs or row.small)
    }
    assert strays == set()
