"""The form of `decision.json`: every key is documented, nothing else is read."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from poc.shared.analysis.study import decision as module
from poc.shared.analysis.study.decision import Decision, Part
from poc.shared.engine.folder import decision as thresholds
from poc.tests.shared.analysis.study.test_sentences import BARE, CURVE, LIGHT

DOCS = Path(__file__).parents[4] / "docs"
PAGE, PUBLISHED = DOCS / "study.md", DOCS / "results" / "2026-11-30-study-photos-decision.json"


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


def test_its_format_is_not_that_of_thresholds():
    assert json.loads(BARE.to_json())["format"] == "poc study decision 1"
    assert module.FORMAT != thresholds.FORMAT
    assert module.DECISION == thresholds.DECISION


def test_a_study_with_the_format_of_before_is_read():
    former = {**json.loads(BARE.to_json()), "format": "poc decision 1"}
    assert Decision.from_json(json.dumps(former)) == BARE


def test_the_published_decision_is_read():
    text = PUBLISHED.read_text(encoding="utf-8")
    assert json.loads(text)["format"] == "poc study decision 1"
    assert Decision.from_json(text).recommended.framework == "tf"


def test_thresholds_are_no_decision_of_a_study():
    content = {"format": thresholds.FORMAT, "class_names": ["a", "b"], "temperature": 1.0}
    with pytest.raises(ValidationError):
        Decision.from_json(json.dumps(content))


@pytest.mark.parametrize("change", [{"format": "poc study decision 2"}, {"colour": "red"}])
def test_other_forms_are_refused(change):
    content = {**json.loads(BARE.to_json()), **change}
    with pytest.raises(ValidationError):
        Decision.from_json(json.dumps(content))


def test_it_is_frozen():
    with pytest.raises(ValidationError):
        BARE.expected_accuracy = 1.0
