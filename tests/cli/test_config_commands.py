"""`poc config`: what it lists of every key, and a file to start from."""

import pytest

from poc import cli
from poc.shared.engine.launch import run as launch
from poc.shared.spec.reading.config import load_run

TINY = ["--epochs", "1", "--set", "train_per_class=4", "--set", "model.widths=[2,3]"]


def test_keys_say_what_is_allowed_and_give_an_example(poc):
    code, output, _ = poc("config", "keys", "--method", "kd")
    lines = output.splitlines()
    assert code == 0
    place = lines.index("method_options.alpha = 0.9")
    assert lines[place + 2] == "    number, at least 0; for example method_options.alpha=0.9"
    assert 'model.name = "lightnet_plain"' in lines


def test_a_starter_is_printed(poc):
    code, output, _ = poc("config", "init", "--method", "transfer")
    assert code == 0
    assert output.startswith("# poc run --config FILE --weights WEIGHTS\n")
    assert '\nmethod = "transfer"\n' in output


@pytest.mark.torch
def test_a_starter_is_a_run_as_it_is(poc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output, _ = poc("config", "init", "--output", "my.toml")
    assert (code, output) == (0, "Written: my.toml\n")
    assert "# poc run --config my.toml\n" in (tmp_path / "my.toml").read_text()
    code, output, errors = poc("run", "--config", "my.toml", *TINY, "--output", "run")
    assert code == 0, errors
    assert (tmp_path / "run" / "summary.json").is_file()


def test_nothing_is_written_over(poc, tmp_path):
    path = tmp_path / "my.toml"
    path.write_text("mine")
    code, _, errors = poc("config", "init", "--output", str(path))
    assert code == 2
    assert "exists" in errors
    assert path.read_text() == "mine"
    code, _, errors = poc("config", "init", "--output", str(tmp_path / "no" / "my.toml"))
    assert code == 2
    assert "cannot be written" in errors


def test_a_dash_prints_and_a_link_to_nowhere_stays(poc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert poc("config", "init", "--output", "-") == poc("config", "init")
    assert not list(tmp_path.iterdir())
    (tmp_path / "link.toml").symlink_to("nowhere.toml")
    code, _, errors = poc("config", "init", "--output", "link.toml")
    assert (code, "exists" in errors) == (2, True)
    assert (tmp_path / "link.toml").is_symlink()


def test_an_unknown_method_writes_nothing(poc, tmp_path):
    code, _, errors = poc("config", "init", "--method", "alchemy", "--output", str(tmp_path / "x"))
    assert code == 2
    assert "alchemy" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("named", "expected"), [("tf", "tf"), (None, "torch")])
def test_the_backend_of_a_config_counts_where_none_is_named(named, expected, tmp_path, monkeypatch):
    (tmp_path / "my.toml").write_text('backend = "torch"\n')
    seen = []
    monkeypatch.setattr(launch, "launch_run", lambda spec, *_, **__: seen.append(spec) or {})
    option = ["--backend", named] if named else []
    config = str(tmp_path / "my.toml")
    cli.cli.main(["run", *option, "--config", config, "--json"], standalone_mode=False)
    assert [spec.backend for spec in seen] == [expected]
    assert load_run(config).backend == "torch"
