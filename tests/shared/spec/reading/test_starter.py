"""A config to start from: a run as it is, and with each of its lines taken up."""

import re
import shlex
import tomllib

import pytest

from poc.shared.errors import UsageError
from poc.shared.shown_names import plain
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.reading.allowed_values import write
from poc.shared.spec.reading.config import full_key, load_run
from poc.shared.spec.reading.keys import list_keys
from poc.shared.spec.reading.starter import is_for, write_starter

# A line that is a default, or an example, behind a `#`.
OFF = re.compile(r"^#(?=[\w.]+ = )", re.MULTILINE)


def load(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load_run(path)


@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_default_run_of_the_method(method, tmp_path):
    assert load(tmp_path, write_starter(method)) == load_run(None, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_it_holds_every_setting_once(method):
    text = OFF.sub("", write_starter(method))
    named = {"method": method}
    expected = [
        ".".join(full_key(row["key"], named))
        for row in list_keys(method)
        if is_for(method, row["key"])
    ]
    found = [line.partition(" = ")[0] for line in text.splitlines() if line[:1] not in ("#", "")]
    assert sorted(found) == sorted(expected)
    assert tomllib.loads(text)["method"] == method


@pytest.mark.parametrize("method", ["lightlayers", "l2t-ww", "fixres"])
def test_each_line_may_be_taken_up_by_itself(method, tmp_path):
    lines = write_starter(method).splitlines()
    for number, line in enumerate(lines):
        if not OFF.match(line) or "split.file" in line:
            continue
        taken = [*lines[:number], line[1:], *lines[number + 1 :]]
        load(tmp_path, "\n".join(taken))


def test_defaults_that_are_taken_up_change_nothing(tmp_path):
    """But those of the recipe, which would then be numbers of the user's."""
    rows = [row for row in list_keys("kd") if row["default"] is not None]
    named = {"method": "kd"}
    keys = {".".join(full_key(row["key"], named)) for row in rows}
    lines = write_starter("kd").splitlines()
    taken = [line[1:] if line[1:].partition(" = ")[0] in keys else line for line in lines]
    assert taken != lines
    resolved, plain = load(tmp_path, "\n".join(taken)), load_run(None, method="kd")
    assert resolved.method_settings == plain.method_settings
    assert resolved.model_spec.resolved() == plain.model_spec.resolved()
    named = {"model", "method_options"}
    assert resolved.model_dump(exclude=named) == plain.model_dump(exclude=named)


def test_a_method_that_needs_a_file_asks_for_it():
    assert write_starter("transfer", file="my.toml").startswith(
        "# poc run --config my.toml --weights WEIGHTS\n"
    )
    assert "--teacher RUN_FOLDER" in write_starter("kd").splitlines()[0]


def test_wrong_names_are_refused():
    """And a model that the method cannot train: no run could follow."""
    for names in (("alchemy", None), ("scratch", "alexnet_2050"), ("lightlayers", "resnet18")):
        with pytest.raises(UsageError, match="Expected"):
            write_starter(*names)


@pytest.mark.parametrize("file", ["my photos.toml", "it's.toml", "a\nb.toml", "\udcff.toml"])
def test_a_file_of_any_name_is_named_in_one_line(file, tmp_path):
    text = write_starter("lightlayers", file=file)
    assert load(tmp_path, text) == load_run(None)
    command = text.splitlines()[0].removeprefix("# ")
    assert shlex.split(command) == ["poc", "run", "--config", plain(file)]


@pytest.mark.parametrize("model", MODELS)
def test_the_example_of_factors_fits_the_model(model):
    row = next(row for row in list_keys("scratch", model) if row["key"] == "model.factors")
    run = load_run(
        None, ["method=scratch", f"model={model}", f"model.factors={write(row['example'])}"]
    )
    names = {p.name for p in run.model_spec.declare(MODELS[model].example_input, 7).parameters}
    assert {f"{name}/reduce/kernel" for name in run.model_spec.factors} <= names


def test_a_named_model_is_set(tmp_path):
    assert load(tmp_path, write_starter("scratch", "resnet18")).model.name == "resnet18"
