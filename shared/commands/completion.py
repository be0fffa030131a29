"""`poc completion`, and the values of options that the shell completes.

Each function of an option takes the arguments that click gives: the context with the options
before the cursor, the parameter, and the beginning of the word. None may raise: the shell would
print the error into the user's line.
"""

from collections import Counter
from collections.abc import Iterable

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    get_completion_class,
)

from poc.shared.errors import UsageError

from .mistakes import Command

SHELLS = ("bash", "fish", "zsh")
VARIABLE = "_POC_COMPLETE"


class Bash(BashComplete):
    """click's script for bash: no space after `key=`, and files where no name is known."""

    # The value follows after `=`, the path after `folder:`. bash splits a word at `:`, so that
    # only its own completion of files can complete such a path.
    source_template = BashComplete.source_template.replace(
        "    return 0\n", "    [[ ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace\n    return 0\n"
    ).replace("complete -o nosort", "complete -o default -o nosort")


class Zsh(ZshComplete):
    """click's script for zsh: no space after `key=` and `folder:`."""

    source_template = (
        ZshComplete.source_template.replace(
            "    local -a response\n", "    local -a response suffix\n"
        )
        .replace(
            "    for type key descr in ${response}; do\n",
            "    for type key descr in ${response}; do\n"
            "        [[ \"$key\" == *[=:] ]] && suffix=(-S '')\n",
        )
        .replace("_with_descriptions -U\n", '_with_descriptions -U "${suffix[@]}"\n')
        .replace("compadd -U ", 'compadd -U "${suffix[@]}" ')
    )


OWN_SCRIPTS = {"bash": Bash, "zsh": Zsh}


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell script that completes options and names.

    For bash: poc completion bash > ~/.local/share/bash-completion/completions/poc
    """
    kind = OWN_SCRIPTS.get(shell) or get_completion_class(shell)
    if kind is None:
        raise UsageError(
            f"Got shell={shell!r}, for which this version of click has no completion. Expected one "
            f"of {', '.join(SHELLS)}. Try updating click."
        )
    click.echo(kind(ctx.find_root().command, {}, "poc", VARIABLE).source())


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that start with the incomplete word."""
    return [name for name in names if name.startswith(incomplete)]


def complete_backends(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Return the backends that start with the incomplete word."""
    return beginning(("tf", "torch"), incomplete)


def complete_methods(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Return the methods that start with the incomplete word."""
    from poc.shared.spec.methods.table import METHODS

    return beginning(METHODS, incomplete)


def complete_models(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Return the models that start with the incomplete word."""
    from poc.shared.spec.networks.architectures.table import MODELS

    return beginning(MODELS, incomplete)


def complete_precisions(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    """Return the precisions that start with the incomplete word."""
    from poc.shared.spec.training.precision import EXACT, MIXED

    return beginning((*EXACT, *MIXED), incomplete)


def complete_files(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return a mark for which the shell completes files and folders."""
    return [CompletionItem(incomplete, type="file")]


def complete_weights(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the words that name weights and start with the incomplete word, or else files."""
    names = beginning(("imagenet", "none"), incomplete) if incomplete else []
    return [CompletionItem(name) for name in names] or complete_files(ctx, option, incomplete)


def complete_sources(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the kinds of sources that start with the incomplete word, or else files."""
    from poc.shared.data.sources.table import SCHEMES

    kinds = [f"{name}:" if ":" in row.form else name for name, row in SCHEMES.items()]
    names = beginning(kinds, incomplete)
    return [CompletionItem(name) for name in names] or complete_files(ctx, option, incomplete)


def complete_configs(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the shipped configs that start with the incomplete word, or else files."""
    from poc.shared.spec.reading.shipped import shipped_configs

    names = beginning(shipped_configs(), incomplete)
    return [CompletionItem(name) for name in names] or complete_files(ctx, option, incomplete)


def complete_keys(
    ctx: click.Context, option: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the keys of the method and model on the line, each with a `=` and its meaning.

    The last part of a key is offered alone if only one key has it.
    """
    from poc.shared.spec.reading.keys import list_keys

    method, model = ctx.params.get("method"), ctx.params.get("model") or ctx.params.get("name")
    try:
        rows = list(list_keys(method or "lightlayers", model))
    except UsageError:
        # The command will refuse an unknown method or model; an error here breaks the shell.
        rows = list(list_keys("lightlayers"))
    count = Counter(row["key"].rpartition(".")[2] for row in rows)
    found = []
    for row in rows:
        short = row["key"].rpartition(".")[2]
        names = (row["key"], *([short] if count[short] == 1 and short != row["key"] else []))
        named = beginning(names, incomplete)[:1]
        found += [CompletionItem(f"{name}=", help=row["description"]) for name in named]
    return found
