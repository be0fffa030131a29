"""`-q` and `-v`, which every command takes, before or after its name."""

from collections.abc import Sequence

import click

from poc.shared.engine.console.verbosity import Verbosity, choose

GIVEN = "poc.verbosity"


def take(ctx: click.Context, option: click.Parameter, is_given: bool) -> None:
    """Set the verbosity that the option names, until the command ends.

    Raises:
        click.UsageError: The other option is given too.
    """
    if not is_given:
        return
    level = Verbosity(option.name)
    root = ctx.find_root()
    if root.meta.setdefault(GIVEN, level) is not level:
        # click does not close a context whose options it refuses, so reset the level here.
        choose(Verbosity.NORMAL)
        raise click.UsageError(
            "Got --quiet and --verbose. Expected one of them. Try removing one.", ctx
        )
    choose(level)
    root.call_on_close(lambda: choose(Verbosity.NORMAL))


OPTIONS: list[click.Parameter] = [
    click.Option(
        [f"-{level.value[0]}", f"--{level.value}"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=take,
        help=text,
    )
    for level, text in (
        (Verbosity.QUIET, "Print only the result and errors: no progress, no notes."),
        (Verbosity.VERBOSE, "Also show the output of the frameworks' processes, line by line."),
    )
]


def with_verbosity(parameters: Sequence[click.Parameter]) -> list[click.Parameter]:
    """Insert both options before the last parameter, which is `--help`."""
    return [*parameters[:-1], *OPTIONS, *parameters[-1:]]
