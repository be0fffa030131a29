"""The list of commands of `docs/reference/commands.md`, made from click when the site is built.

mkdocs-click would do this, but with click 8.2 and newer it prints an internal value as the default
of each option.
"""

from collections.abc import Iterator

import click

from poc.cli import cli

from .settings_tables import escape

MARK = "<!-- commands -->"


def fill_commands(text: str) -> str:
    """Replace the mark of a page by every command and option.

    Raises:
        ValueError: The page has no mark.
    """
    before, after = text.split(MARK)
    return before + "\n".join(describe(cli, None, 2)) + after


def describe(command: click.Command, parent: click.Context | None, depth: int) -> Iterator[str]:
    """Heading, help, usage and options of a command, then those of the commands below it."""
    name = "poc" if parent is None else command.name
    ctx = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield f"{'#' * depth} `{ctx.command_path}`\n"
    yield f"{escape(command.help or '')}\n"
    usage = " ".join(command.collect_usage_pieces(ctx))
    yield f"    {ctx.command_path} {usage}\n"
    yield from list_options(command, ctx)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.get_command(ctx, name)
            if inner is not None and not inner.hidden:
                yield from describe(inner, ctx, depth + 1)


def list_options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    """A table of the options, as the help page words them."""
    yield '<div class="keys" markdown>\n\n| option | meaning |\n|---|---|'
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            option, meaning = record
            yield f"| `{option}` | {escape(meaning)} |"
    yield "\n</div>\n"
