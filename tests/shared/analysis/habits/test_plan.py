"""The plan: written once, the same one continues, another one is refused."""

import json

import pytest

from poc.shared.analysis.habits.plan import FILE, digest_runs, read_plan, store_plan
from poc.shared.errors import UsageError
from poc.tests.helpers.habits.outcomes import make_plan


def test_a_plan_comes_back(tmp_path):
    plan = make_plan()
    store_plan(plan, tmp_path / "new")
    assert read_plan(tmp_path / "new") == plan


def test_the_same_plan_continues_and_keeps_its_date(tmp_path):
    store_plan(make_plan(), tmp_path)
    later = make_plan().model_copy(update={"written": "later", "command": "poc habits --jobs 2"})
    store_plan(later, tmp_path)
    assert read_plan(tmp_path).written == "2026-11-30"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"num_sets": 5}, "sets"),
        ({"num_seeds": 2}, "num seeds"),
        ({"design": "ends"}, "design"),
        ({"habits": ["optimizer", "loss", "padding"]}, "habits"),
        ({"target": 0.8}, "target"),
        ({"digest": "e"}, "settings of the cells"),
    ],
)
def test_another_plan_is_refused(tmp_path, change, word):
    store_plan(make_plan(), tmp_path)
    with pytest.raises(UsageError, match=f"its {word} differ"):
        store_plan(make_plan(**change), tmp_path)
    assert read_plan(tmp_path) == make_plan()


def test_other_content_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="other content"):
        store_plan(make_plan(), tmp_path)
    with pytest.raises(UsageError, match=f"has no {FILE}"):
        read_plan(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({"format": "poc habits 0"}))
    with pytest.raises(UsageError, match="poc habits 0"):
        read_plan(tmp_path)


def test_a_digest_depends_on_every_setting():
    assert digest_runs([{"k": 1, "seed": 0}]) == digest_runs([{"seed": 0, "k": 1}])
    assert digest_runs([{"k": 1}]) != digest_runs([{"k": 2}])
