"""What a shell completes, through click's own way in and in a real bash."""

import shutil
import subprocess
import sys

import pytest

from poc.cli import cli
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.networks.architectures.table import MODELS
from poc.shared.spec.reading.keys import list_keys
from poc.shared.spec.reading.shipped import shipped_configs


@pytest.fixture
def complete(monkeypatch, capsys):
    """The completions of a line that ends in a beginning, or in a space for a new word."""

    def ask(line):
        words = line.split(" ")
        monkeypatch.setenv("_POC_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit):
            cli.main(prog_name="poc", standalone_mode=False)
        return [text.partition(",")[2] for text in capsys.readouterr().out.splitlines()]

    return ask


def test_names_of_the_tables_are_complete(complete):
    assert complete("poc run --method ") == list(METHODS)
    assert complete("poc compare --model ") == list(MODELS)
    assert complete("poc run --student ") == list(MODELS)
    assert complete("poc models summary ") == list(MODELS)
    assert complete("poc run --config ") == list(shipped_configs())
    assert complete("poc config show ") == list(shipped_configs())
    assert complete("poc run --backend ") == ["tf", "torch"]
    assert complete("poc run --dtype bf") == ["bfloat16"]


def test_every_key_is_completed(complete):
    """Whole, by the method that stands before."""
    for method in ("lightlayers", "l2t-ww"):
        keys = {f"{row['key']}=" for row in list_keys(method)}
        assert set(complete(f"poc sweep --method {method} --grid ")) == keys


def test_a_key_by_its_last_part(complete):
    assert complete("poc run --set learning") == ["learning_rate="]
    assert complete("poc run --set optimizer.learning") == ["optimizer.learning_rate="]
    assert complete("poc run --method kd --set temp") == ["temperature="]
    assert complete("poc run --model resnet18 --method scratch --set line") == ["lineage="]
    # Of several groups: no last part alone would be this key.
    assert "seed=" in complete("poc run --set se")
    assert "name=" not in complete("poc run --set na")


def test_a_wrong_name_before_is_no_error(complete):
    assert complete("poc run --method alchemy --set learning") == ["learning_rate="]


def test_a_file_where_no_config_begins_so(complete):
    assert complete("poc run --config ./my") == ["./my"]


def test_sources_and_weights_by_their_words_or_as_files(complete):
    assert complete("poc run --data ") == ["embedded", "folder:", "csv:", "idx:", "npz:", "tfds:"]
    assert complete("poc data describe fol") == ["folder:"]
    assert complete("poc run --weights im") == ["imagenet"]
    for option in ("--data", "--weights", "--teacher"):
        assert complete(f"poc run {option} ./my") == ["./my"]


def test_zsh_leaves_no_space_after_a_key(poc):
    """Its `compadd` sets a suffix for all names of a list; keys and sources are never mixed."""
    script = poc("completion", "zsh")[1]
    assert "[[ \"$key\" == *[=:] ]] && suffix=(-S '')" in script
    assert script.count('-U "${suffix[@]}"') == 2


def test_commands_are_completed(complete):
    assert complete("poc comp") == ["compare", "completion"]


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_each_shell_has_a_script(shell, poc):
    code, output, errors = poc("completion", shell)
    assert (code, errors) == (0, "")
    assert f"_POC_COMPLETE={shell}_complete" in output


def test_another_shell_is_refused(poc):
    code, output, errors = poc("completion", "tcsh")
    assert (code, output) == (2, "")
    assert "'bash', 'fish', 'zsh'" in errors


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_takes_the_script(poc, tmp_path):
    """And leaves no space after a key, whose value follows."""
    script = tmp_path / "poc.bash"
    script.write_text(poc("completion", "bash")[1])
    command = tmp_path / "poc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m poc.cli "$@"\n')
    command.chmod(0o755)
    code = (
        f"source {script}; compopt() {{ echo asked: $*; }}\n"
        "COMP_WORDS=(poc run --set learning); COMP_CWORD=3\n"
        f"_poc_completion {command}; echo found: ${{COMPREPLY[*]}}"
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["asked: -o nospace", "found: learning_rate="]
    assert done.stderr == ""
    assert "complete -o default" in script.read_text()
