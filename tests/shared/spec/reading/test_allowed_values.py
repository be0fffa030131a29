"""Allowed values in words, and examples that the spec takes."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, create_model

from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.reading.allowed_values import EXAMPLES, describe_values, find_example, write
from poc.shared.spec.reading.config import load_run, parse_value
from poc.shared.spec.reading.keys import list_keys
from poc.shared.spec.reading.starter import is_for

# Settings that are valid only beside another one: what the example needs.
PARTNERS = {"data.split.file": {"data.split.kind": "listed"}}


def schema_of(annotation, **constraints):
    group = create_model("Group", value=(annotation, Field(**constraints)))
    return group.model_json_schema()["properties"]["value"]


@pytest.mark.parametrize(
    ("annotation", "constraints", "words"),
    [
        (int, {"ge": 1}, "integer, at least 1"),
        (int, {"ge": 0, "le": 255}, "integer, 0 to 255"),
        (float, {"gt": 0, "lt": 1}, "number, above 0 and below 1"),
        (float, {}, "number"),
        (bool, {}, "true or false"),
        (Literal["tf", "torch"], {}, "one of tf, torch"),
        (int | None, {"ge": 1}, "integer, at least 1"),
        (bool | Literal["disk"], {}, "true or false, or disk"),
        (tuple[int, int], {}, "a list of 2, each: integer"),
        (tuple[str, ...], {"min_length": 1}, "a list of at least 1, each: text"),
        (tuple[Annotated[float, Field(ge=0, le=1)], ...], {}, "a list, each: number, 0 to 1"),
        (Literal["all"] | tuple[str, ...], {}, "all, or a list, each: text"),
        (dict[str, int], {}, "a table of settings"),
    ],
)
def test_a_type_in_words(annotation, constraints, words):
    assert describe_values(schema_of(annotation, **constraints)) == words


def test_an_example_is_another_value_than_the_default_where_one_is_known():
    assert find_example("x", schema_of(Literal["a", "b"], default="a")) == "b"
    assert find_example("x", schema_of(bool, default=True)) is False
    assert find_example("x", schema_of(float, default=0.5)) == 0.5
    assert find_example("x", schema_of(int | None, default=None, ge=2)) == 2
    assert find_example("x", schema_of(str | None, default=None)) is None
    assert find_example("x", schema_of(int, default=1, examples=[7])) == 7


def rows():
    """(method, model, row) of every setting, those of a method and a model with it."""
    for method in METHODS:
        for row in list_keys(method):
            if row["key"].startswith("method_options.") or method in ("lightlayers", "kd"):
                yield method, METHODS[method].default_model, row
    for model in MODELS:
        for row in list_keys("scratch", model):
            if row["key"].startswith("model."):
                yield "scratch", model, row


def test_every_example_is_taken():
    """By the method and the model that read the key, in the words of the command line."""
    tried = set()
    for method, model, row in rows():
        key = row["key"]
        if not is_for(method, key):
            continue
        named = {"method": method, "model.name": model, **PARTNERS.get(key, {})}
        named[key] = row["example"]
        taken = [f"{name}={write(value)}" for name, value in named.items()]
        assert row["example"] is not None, f"{key} of {method}, {model} has no example"
        load_run(None, taken if key != "method" else taken[:1])
        tried.add(key)
    assert set(EXAMPLES) <= tried
    assert "teacher.weights" in tried


def test_a_written_value_is_read_again():
    for value in (True, 3, 1e-08, "a \"quoted\" 'word'", [1, 2], {"block1/conv": {"rank": 3}}):
        assert parse_value(write(value)) == value
    assert write(None) == "none"
    assert write((1, 2)) == "[1, 2]"
