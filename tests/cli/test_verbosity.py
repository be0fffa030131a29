"""`-q` and `-v`, before and after a command's name."""

import click
import pytest

from poc.cli import cli
from poc.shared.commands.mistakes import Command
from poc.shared.engine.console.verbosity import Chosen, Verbosity

SMALL = [
    *("--set", "train_per_class=4"),
    *("--set", "model.widths=[2,3]"),
    *("--epochs", "1"),
]
RUN = ["run", "--backend", "torch", *SMALL]


def commands(group=cli, path=()):
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_takes_both(path):
    command = COMMANDS[path]
    ctx = click.Context(command)
    options = {opt for parameter in command.get_params(ctx) for opt in parameter.opts}
    assert {"-q", "--quiet", "-v", "--verbose"} <= options


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["-q", "probe-level"], Verbosity.QUIET),
        (["probe-level", "--quiet"], Verbosity.QUIET),
        (["-v", "probe-level"], Verbosity.VERBOSE),
        (["probe-level", "-v", "-v"], Verbosity.VERBOSE),
        (["-q", "probe-level", "-q"], Verbosity.QUIET),
        (["probe-level"], Verbosity.NORMAL),
    ],
)
def test_the_level_holds_for_one_command(arguments, level, monkeypatch):
    seen = []

    command = Command("probe-level", callback=lambda: seen.append(Chosen.level))
    monkeypatch.setitem(cli.commands, "probe-level", command)
    cli.main(arguments, standalone_mode=False)
    assert seen == [level]
    assert Chosen.level is Verbosity.NORMAL


@pytest.mark.parametrize("arguments", [["-q", "-v"], ["-q", "models", "list", "-v"]])
def test_both_are_refused(arguments, poc):
    code, output, errors = poc(*arguments)
    assert (code, output) == (2, "")
    assert "--quiet and --verbose" in errors
    assert Chosen.level is Verbosity.NORMAL


@pytest.mark.torch
def test_a_quiet_run_prints_its_row_alone(poc):
    code, output, errors = poc(*RUN, "-q")
    assert (code, errors) == (0, "")
    assert "Run folder: " in output


@pytest.mark.torch
def test_a_quiet_refusal_is_told(poc):
    code, output, errors = poc("-q", *RUN, "--k", "0")
    assert (code, output) == (2, "")
    assert "k=0" in errors


@pytest.mark.torch
def test_a_verbose_run_tells_of_its_process(poc):
    code, output, errors = poc("-v", *RUN)
    assert code == 0
    lines = [line for line in errors.splitlines() if line.startswith("torch| ")]
    assert "starts" in lines[0]
    assert "ends after" in lines[-1]
    assert "torch| " not in output
