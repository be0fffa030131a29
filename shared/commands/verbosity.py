"""`-q` and `-v`, which every command takes, before or after its name."""

from collections.abc import Sequence

import click

from poc.shared.engine.console.verbosity import Verbosity, choose

GIVEN = "poc.verbosity"


def take(ctx: click.Context, option: click.Parameter, is_given: bool) -> None:
    """Choose what the option stands for, until the command ends.

    Raises:
        click.UsageError: The other one is given too.
    """
    if not is_given:
        return
    level = Verbosity(option.name)
    root = ctx.find_root()
    if root.meta.setdefault(GIVEN, level) is not level:
        # click closes no context whose options it refuses.
        choose(Verbosity.NORMAL)
        raise click.UsageError("received --quiet and --verbose; allowed is one: remove one.", ctx)
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
        (Verbosity.QUIET, "No progress and no notes: the result and errors alone."),
        (Verbosity.VERBOSE, "Show what the frameworks' processes print, as it comes."),
    )
]


def with_verbosity(parameters: Sequence[click.Parameter]) -> list[click.Parameter]:
    """Put both options before the last one, which is `--help`."""
    return [*parameters[:-1], *OPTIONS, *parameters[-1:]]
