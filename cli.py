"""The `poc` command. It imports neither a framework nor NumPy until a command needs them."""

import sys
from contextlib import suppress

import click

from poc.shared.commands import (
    completion,
    configs,
    data,
    machine,
    models,
    new_images,
    results,
    shipping,
    training,
    tuning,
    weights,
)
from poc.shared.commands.mistakes import Group, explain_usage
from poc.shared.errors import CheckFailed, Interrupted, UsageError


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="poc", prog_name="poc")
def cli() -> None:
    """Compare image-classification methods fairly, each in TensorFlow and in PyTorch."""


for command in (
    training.run,
    training.compare,
    training.parity,
    training.sweep,
    tuning.rates,
    tuning.study,
    tuning.habits,
    results.evaluate,
    new_images.calibrate,
    new_images.predict,
    new_images.explain,
    new_images.demo,
    results.grid,
    results.report,
    shipping.export,
    shipping.card,
    shipping.package,
    results.track,
    results.channels,
    machine.bench,
    machine.doctor,
    models.models,
    configs.configs,
    data.data,
    weights.weights,
    weights.probe,
    completion.completion,
):
    cli.add_command(command)


def main() -> None:
    """Run the command; turn each exception into a message and an exit code."""
    from poc.shared.engine.console.output import OutputFailed, prepare_streams
    from poc.shared.engine.worker.interruption import forwarding
    from poc.shared.shown_names import plain

    prepare_streams()
    try:
        with forwarding():
            cli.main(prog_name="poc", standalone_mode=False)
    except UsageError as error:
        fail(plain(str(error)), 2)
    except click.exceptions.NoArgsIsHelpError as error:
        show_help(error)
    except click.ClickException as error:
        fail(plain(explain_usage(error)), 2)
    except CheckFailed as error:
        fail(plain(str(error)), 1)
    except click.Abort as error:
        # click turns a KeyboardInterrupt into an Abort; its cause knows the signal.
        stop = error.__cause__
        code = stop.exit_code if isinstance(stop, Interrupted) else Interrupted.exit_code
        fail(str(stop or "") or "interrupted", code)
    except OutputFailed as error:
        fail(str(error), error.exit_code)
    except RuntimeError as error:
        # The message of a worker that died is enough; a traceback of this process would not help.
        # Its class is named by text, since importing it would import NumPy.
        if type(error).__name__ != "WorkerCrashed":
            raise
        fail(str(error), 1)


def show_help(error: click.UsageError) -> None:
    """Print the help page of a group that was called without a command, and exit with 2."""
    click.echo(error.format_message(), err=True)
    sys.exit(2)


def fail(message: str, code: int) -> None:
    """Print the message on standard error, if that is still open, and exit."""
    from poc.shared.engine.console.output import OutputFailed, plain_lines

    with suppress(OutputFailed):
        click.echo(f"poc: {plain_lines(message)}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
