"""`poc completion`, and what the shell completes as values of options.

Each function of an option takes what click gives it: the context with the options that stand
before, the parameter, and the beginning of the word. None may raise: a shell would show it.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import click
from click.shell_completion import BashComplete, CompletionItem, get_completion_class

from poc.shared.errors import UsageError

from .mistakes import Command

SHELLS = ("bash", "fish", "zsh")
VARIABLE = "_POC_COMPLETE"


class Bash(BashComplete):
    """click's script, less the space after a key: its value follows."""

    source_template = BashComplete.source_template.replace(
        "    return 0\n", "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n    return 0\n"
    )


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, options, names and keys.

    For bash: poc completion bash > ~/.local/share/bash-completion/completions/poc
    """
    kind = Bash if shell == "bash" else get_completion_class(shell)
    if kind is None:
        raise UsageError(
            f"received the shell {shell!r}, which this click cannot complete in; allowed are "
            f"{', '.join(SHELLS)}: update click"
        )
    click.echo(kind(ctx.find_root().command, {}, "poc", VARIABLE).source())


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """The names that begin so."""
    return [name for name in names if name.startswith(incomplete)]


def complete_backends(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Both backends."""
    return beginning(("tf", "torch"), incomplete)


def complete_methods(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Names of the table of methods."""
    from poc.shared.spec.methods.table import METHODS

    return beginning(METHODS, incomplete)


def complete_models(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Names of the table of models."""
    from poc.shared.spec.networks.models import MODELS

    return beginning(MODELS, incomplete)


def complete_precisions(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Precisions of a run."""
    from poc.shared.spec.training.precision import EXACT, MIXED

    return beginning((*EXACT, *MIXED), incomplete)


def complete_configs(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of shipped configs; files where none begins so."""
    from poc.shared.spec.reading.shipped import shipped_configs

    names = beginning(shipped_configs(), incomplete)
    return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


def complete_keys(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Keys of the method and the model that stand before, with a `=`; their meaning as help.

    A key's last part alone is offered where one key has it.
    """
    from poc.shared.spec.reading.keys import list_keys

    method, model = ctx.params.get("method"), ctx.params.get("model") or ctx.params.get("name")
    rows = list(list_keys("lightlayers"))
    # A name that is not known yet is refused when the command runs.
    with suppress(UsageError):
        rows = list(list_keys(method or "lightlayers", model))
    count = Counter(row["key"].rpartition(".")[2] for row in rows)
    found = []
    for row in rows:
        short = row["key"].rpartition(".")[2]
        names = (row["key"], *([short] if count[short] == 1 and short != row["key"] else []))
        named = beginning(names, incomplete)[:1]
        found += [CompletionItem(f"{name}=", help=row["description"]) for name in named]
    return found
