"""The command `rates`: which learning rates are worth a try."""

from pathlib import Path
from typing import Any

import click

from poc.shared.errors import Interrupted

from .completion import complete_backends
from .mistakes import Command
from .options import JSON_OPTION, RUN_OPTIONS, command_line, echo_json, read_run, with_options


@click.command(cls=Command)
@with_options([*RUN_OPTIONS])
@click.option(
    "--backend",
    metavar="tf|torch",
    shell_complete=complete_backends,
    help="Framework to sweep in; default: both, one after the other.",
)
@click.option(
    "--lowest", type=float, default=1e-6, metavar="RATE", help="First rate; default: 1e-6."
)
@click.option("--highest", type=float, default=10.0, metavar="RATE", help="Last rate; default: 10.")
@click.option(
    "--steps", type=int, default=100, metavar="N", help="Rates to try, a step each; default: 100."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("rates"),
    help="Folder for the curves and their picture; default: rates.",
)
@JSON_OPTION
def rates(
    backend: str | None,
    lowest: float,
    highest: float,
    steps: int,
    output: Path,
    as_json: bool,
    **given: Any,
) -> None:
    """Suggest a range for the learning rate.

    One short sweep from a low rate to a high one, on the train part alone.
    """
    from poc.shared.actions.rates import describe_rates, find_rates
    from poc.shared.engine.console.progress import WorkProgress
    from poc.shared.spec.run import BACKENDS

    with WorkProgress("rates") as progress:
        spec = read_run(backend, report=progress.update, is_for_training=True, **given)
        backends = [backend] if backend else list(BACKENDS)
        try:
            content = find_rates(
                spec,
                backends,
                (lowest, highest, steps),
                output,
                command=command_line(),
                report=progress.update,
            )
        except Interrupted as error:
            raise type(error)("interrupted; a sweep writes nothing before its end") from None
    if as_json:
        echo_json(content)
        return
    for line in describe_rates(content):
        click.echo(line)
    click.echo(f"Written: {output}/rates.json, rates_light.svg, rates_dark.svg")
