"""The form of `decision.json`: every key is documented, nothing else is read."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from poc.shared.analysis.study import decision as module
from poc.shared.analysis.study.decision import Decision, Part
from poc.tests.shared.analysis.study.test_sentences import BARE, CURVE, LIGHT

PAGE = Path(__file__).parents[4] / "docs" / "study.md"


def parts():
    return [
        item for item in vars(module).values() if isinstance(item, type) and issubclass(item, Part)
    ]


def test_every_key_is_documented():
    text = PAGE.read_text(encoding="utf-8")
    keys = {key for part in parts() for key in part.model_fields}
    assert len(keys) > 30
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []


def test_it_is_read_back():
    full = BARE.model_copy(update={"equivalent": (LIGHT,), "learning_curve": CURVE})
    assert Decision.from_json(full.to_json()) == full
    assert json.loads(full.to_json())["interval"] == [0.84, 0.901]


@pytest.mark.parametrize("change", [{"format": "poc decision 2"}, {"colour": "red"}])
def test_other_forms_are_refused(change):
    content = {**json.loads(BARE.to_json()), **change}
    with pytest.raises(ValidationError):
        Decision.from_json(json.dumps(content))


def test_it_is_frozen():
    with pytest.raises(ValidationError):
        BARE.expected_accuracy = 1.0
