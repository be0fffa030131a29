"""`poc calibrate` and `--positive` on the command line: tables, JSON, exit codes."""

import json

import pytest

from poc.tests.shared.actions.test_calibrate import make_trained


@pytest.fixture
def run(tmp_path):
    return make_trained(tmp_path / "run")


def test_it_prints_a_table_and_what_it_stored(run, poc):
    code, output, errors = poc("calibrate", run, "--sensitivity", "0.9")
    assert code == 0, errors
    assert "test, before" in output
    assert "Threshold: the answer is 'ill' if its probability is at least" in output
    assert "no test image decides anything" in output
    assert f"Stored: {run / 'decision.json'}" in output


def test_it_says_which_images_are_not_answered(run, poc):
    code, output, errors = poc("calibrate", run, "--answered-share", "0.8")
    assert code == 0, errors
    assert "share of images that are answered" in output
    assert "Least confidence: an image is answered if its most probable class" in output


def test_json_is_what_was_stored(run, poc):
    code, output, errors = poc(
        "calibrate", run, "--costs", "1,5", "--positive", "healthy", "--json"
    )
    assert code == 0, errors
    found = json.loads(output)
    assert found.pop("folder") == str(run)
    assert found == json.loads((run / "decision.json").read_text())
    assert found["threshold"]["positive"] == "healthy"
    assert found["threshold"]["false_negative_cost"] == 5.0
    assert found["command"].startswith("poc calibrate")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sensitivity", "0.9", "--costs", "1,2"], "Expected one rule"),
        (["--sensitivity", "95"], "above 0 and below 1"),
        (["--answered-accuracy", "0"], "above 0 and below 1"),
        (["--answered-accuracy", "0.9", "--answered-share", "0.9"], "Expected one rule"),
        (["--costs", "1"], "Expected two numbers with a comma"),
        (["--positive", "sick"], "Expected a class of the run"),
    ],
)
def test_wrong_use_exits_with_2(options, words, run, poc):
    code, _, errors = poc("calibrate", run, *options)
    assert code == 2
    assert words in errors
    assert not (run / "decision.json").exists()


def test_a_report_names_the_positive_class(run, poc, tmp_path):
    code, output, errors = poc(
        "report", run, "--positive", "healthy", "--output", tmp_path / "report"
    )
    assert code == 0, errors
    assert "Sensitivity for “healthy”: " in output
    code, _, errors = poc("report", run, "--positive", "sick", "--output", tmp_path / "report")
    assert code == 2
    assert "Got --positive 'sick'. Expected a class of two, 'healthy', 'ill'." in errors


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [([], True), (["--sensitivity", "0.9"], False), (["--costs", "1,5"], False)],
)
def test_a_positive_class_without_a_rule_is_said_not_to_be_stored(rule, is_told, run, poc):
    code, _, errors = poc("calibrate", run, "--positive", "healthy", *rule)
    assert code == 0, errors
    assert ("'healthy' is positive in this table alone" in errors) == is_told
    stored = json.loads((run / "decision.json").read_text())["threshold"]
    assert (stored is None) == is_told
