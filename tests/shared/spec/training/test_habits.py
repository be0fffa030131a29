"""Choices of the habits: one word for all, one by one, and what a record keeps of them."""

import json

import pytest

from poc.shared.errors import UsageError
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.keys import list_keys
from poc.shared.spec.run import RunSpec
from poc.shared.spec.training.habits import HABITS, HabitsSpec

NAMES = {
    *("optimizer", "batch_norm", "initializers", "padding", "regularization", "loss", "dropout"),
    "input_pipeline",
}


def test_every_habit_is_common_by_default() -> None:
    assert set(HABITS) == NAMES
    assert load_run().habits.native == ()


def test_one_word_sets_all() -> None:
    assert set(load_run(None, ["habits=native"]).habits.native) == NAMES
    assert load_run(None, ["habits=common"]).habits == HabitsSpec()


def test_a_file_may_hold_the_word(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('habits = "native"\n', encoding="utf-8")
    assert set(load_run(path).habits.native) == NAMES
    # A later key changes one of them.
    assert set(load_run(path, ["habits.loss=common"]).habits.native) == NAMES - {"loss"}


def test_one_habit_and_all_but_one() -> None:
    assert load_run(None, ["habits.padding=native"]).habits.native == ("padding",)
    found = load_run(None, ["habits=native", "habits.dropout=common"]).habits.native
    assert set(found) == NAMES - {"dropout"}


@pytest.mark.parametrize("text", ["habits=keras", "habits.padding=keras", "habits.paddding=native"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"Got .*habits.*Expected|unknown key"):
        load_run(None, [text])


def test_a_record_of_a_common_run_says_nothing_of_habits() -> None:
    run = RunSpec.parse({"method": "scratch"}, "")
    assert "habits" not in run.model_dump(mode="json")
    assert "habits" not in json.loads(run.model_dump_json())
    native = run.replace(habits="native")
    assert set(native.model_dump(mode="json")["habits"].values()) == {"native", None}
    assert RunSpec.parse(native.model_dump(mode="json"), "") == native


def test_the_list_of_keys_has_what_a_user_may_set() -> None:
    keys = {row["key"]: row for row in list_keys("lightlayers")}
    assert {key for key in keys if key.startswith("habits")} == {f"habits.{name}" for name in NAMES}
    assert keys["habits.padding"]["allowed"] == "one of common, native"


def test_the_habits_of_a_network_name_their_framework() -> None:
    run = RunSpec.parse({"method": "scratch", "habits": "native", "backend": "tf"}, "")
    assert run.network_habits == "batch_norm, padding of tf"
    other = run.replace(backend="torch", habits={**run.habits.model_dump(), "framework": "tf"})
    assert other.network_habits == "batch_norm, padding of tf"
    assert RunSpec.parse({"method": "scratch"}, "").network_habits == ""
