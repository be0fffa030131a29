"""Files that a host of repositories reads: they parse, and continuous integration is `.ci/run`."""

import pytest
import yaml

from poc.tests.helpers.docs.pages import ROOT

TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))


def test_the_workflow_runs_the_one_command():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"push", "pull_request"}
    assert workflow["permissions"] == {"contents": "read"}


def test_there_are_templates():
    assert len(TEMPLATES) >= 3
    assert "CHANGELOG.md" in (ROOT / ".github" / "pull_request_template.md").read_text("utf-8")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_a_name_and_says_what_it_is_for(path):
    _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
    head = yaml.safe_load(front)
    assert head["name"]
    assert head["about"]
    assert body.strip()


def test_the_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "version"} <= set(citation)
    assert citation["authors"] == [{"name": "the poc authors"}]
