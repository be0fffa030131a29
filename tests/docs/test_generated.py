"""The generated references are complete: every key of the spec, every command and option."""

import re

import click
import pytest

from poc.cli import cli
from poc.docs.generate.command_lists import fill_commands
from poc.docs.generate.settings_tables import BENCH_OPTIONS, MARK, fill_settings, make_tables
from poc.docs.generate.site_pages import mend_links, read_root_page
from poc.shared.spec.bench import BenchSpec, Side
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.reading.keys import list_keys
from poc.tests.helpers.docs.pages import ROOT

SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def settings():
    return fill_settings(SETTINGS)


@pytest.fixture(scope="module")
def listed():
    return fill_commands(COMMANDS)


def test_the_page_asks_for_every_table():
    marks = MARK.findall(SETTINGS)
    assert sorted(marks) == sorted(make_tables())


def test_every_key_has_a_row_with_all_that_is_known(settings):
    keys = [row for method in METHODS for row in list_keys(method)]
    keys += [row for model in MODELS for row in list_keys("scratch", model)]
    for row in keys:
        (line, *_) = re.findall(rf"^\| `{re.escape(row['key'])}`.*$", settings, re.MULTILINE)
        assert line.count(" | ") == 2
    assert "*allowed:* integer, at least 1<br>*example:* `num_epochs=10`" in settings
    assert "| by the recipe | passes over the training examples" in settings


def test_every_heading_names_its_methods_and_models(settings):
    headings = "\n".join(re.findall(r"^### .*$", settings, re.MULTILINE))
    assert [name for name in (*METHODS, *MODELS) if f"`{name}`" not in headings] == []


def test_every_number_of_a_bench_is_listed(settings):
    assert set(BenchSpec.model_fields) == {"run", "sides", *BENCH_OPTIONS}
    for option in BENCH_OPTIONS.values():
        assert f"| `{option}`{{" in settings
        assert option in {opt for p in cli.commands["bench"].params for opt in p.opts}
    for name in Side.model_fields:
        assert f"`{name}`{{ #side.{name} }}" in settings


def test_every_anchor_is_there_once(settings):
    anchors = re.findall(r"\{ #(\S+) \}", settings)
    assert len(anchors) == len(set(anchors))
    assert {"optimizer.learning_rate", "kd.method_options.alpha", "bench.steps"} <= set(anchors)


def commands(group=cli, path="poc"):
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def test_every_command_and_option_is_listed(listed):
    parts = dict(
        re.findall(r"^#+ `(poc[^`]*)`\n(.*?)(?=^#+ `poc|\Z)", listed, re.DOTALL | re.MULTILINE)
    )
    assert set(parts) == {"poc", *(path for path, _ in commands())}
    for path, command in commands():
        first = command.help.split("\n")[0]
        assert first in parts[path].replace("&lt;", "<").replace("&#124;", "|")
        for parameter in command.get_params(click.Context(command)):
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in parts[path], f"{path} lacks {option}"


def test_a_mark_that_names_nothing_is_an_error():
    with pytest.raises(KeyError):
        fill_settings("<!-- settings: colours -->")
    with pytest.raises(ValueError, match="unpack"):
        fill_commands("no mark")


def test_links_to_pages_of_the_root():
    assert (
        mend_links("[a](../CONTRIBUTING.md#x) [b](data.md)")
        == "[a](contributing.md#x) [b](data.md)"
    )
    assert mend_links("[a](../../SECURITY.md)") == "[a](../security.md)"
    assert "](architecture.md)" in read_root_page("CONTRIBUTING.md")
    assert "](docs/" not in read_root_page("SECURITY.md")
    assert r"\[tf\]" in read_root_page("CHANGELOG.md")
