"""`poc config`: the configs that ship with the package."""

import json
from collections.abc import Callable
from pathlib import Path

import click

from poc.shared.errors import UsageError

from .completion import complete_configs, complete_methods, complete_models
from .mistakes import Group
from .options import JSON_OPTION, Command, echo_json, with_options

OWN_OPTIONS: list[Callable[[Command], Command]] = [
    click.option(
        "--method",
        default="lightlayers",
        metavar="NAME",
        shell_complete=complete_methods,
        help="Method whose settings are listed; default: lightlayers.",
    ),
    click.option(
        "--model",
        metavar="NAME",
        shell_complete=complete_models,
        help="Model whose settings are listed; default: the method's own.",
    ),
]


@click.group("config", cls=Group)
def configs() -> None:
    """List, show and start configs.

    `--config` takes the name of a shipped config in any folder.
    """


@configs.command("list")
@JSON_OPTION
def list_configs(as_json: bool) -> None:
    """List the shipped configs with their commands."""
    from poc.shared.spec.reading.shipped import describe_config, shipped_configs

    rows = []
    for name, config in shipped_configs().items():
        command, summary = describe_config(config)
        rows.append({"name": name, "summary": summary, "command": command})
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']}: {row['summary']}\n    {row['command']}")


@configs.command("show")
@click.argument("name", shell_complete=complete_configs)
def show_config(name: str) -> None:
    """Print a config, unchanged: a start for your own."""
    from poc.shared.spec.reading.config import read_config

    click.echo(read_config(name), nl=False)


@configs.command("init")
@with_options(OWN_OPTIONS)
@click.option(
    "--output", type=click.Path(path_type=Path), help="New file to write; default: print it."
)
def init_config(method: str, model: str | None, output: Path | None) -> None:
    """Write a config to start from.

    It has every setting as a comment, with its default.
    """
    from poc.shared.files.whole import write_bytes
    from poc.shared.spec.reading.starter import write_starter

    if output is None or str(output) == "-":
        click.echo(write_starter(method, model), nl=False)
        return
    # A link to nowhere exists too: writing would replace it.
    if output.exists() or output.is_symlink():
        raise UsageError(
            f"Got the output {str(output)!r}, which exists. Expected a new file. Try another name, "
            "or remove the file."
        )
    text = write_starter(method, model, output.as_posix())
    try:
        write_bytes(output, text.encode())
    except OSError as error:
        raise UsageError(
            f"Got the output {str(output)!r}, which cannot be written ({error.strerror}). Expected "
            "a file in a folder that exists. Try --output my.toml, or make the folder first."
        ) from None
    click.echo(f"Written: {output}")


@configs.command("keys")
@with_options(OWN_OPTIONS)
@JSON_OPTION
def list_keys(method: str, model: str | None, as_json: bool) -> None:
    """List every setting of configs and `--set`.

    Each has a default, a meaning, the allowed values and an example.
    """
    from poc.shared.spec.reading.allowed_values import write
    from poc.shared.spec.reading.keys import list_keys as every_key

    rows = list(every_key(method, model))
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        default = "" if row["default"] is None else f" = {json.dumps(row['default'])}"
        if row["by_recipe"]:
            default = " by the recipe, from the training images"
        click.echo(f"{row['key']}{default}\n    {row['description']}")
        click.echo(f"    {row['allowed']}; for example {row['key']}={write(row['example'])}")
