"""Messages about unknown options, and about an option that is given twice."""

from collections import Counter
from collections.abc import Sequence

import click

from .verbosity import with_verbosity

# Options of other programs and of earlier versions: each with its name here.
HABITS = {
    "source": "Expected its new name, --teacher. Try --teacher PATH.",
    "target": "Expected its new name, --student. Try --student NAME.",
    "resume-from": "Expected --resume, to continue a run. Try `poc run --resume DIR`.",
}


class Command(click.Command):
    """A command that takes `-q` and `-v`, and refuses an option given twice.

    Given two values, click would silently take the last.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, then `-q`, `-v` and `--help`."""
        return with_verbosity(super().get_params(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, after refusing options that are given twice."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            refuse_repeated(ctx, given)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group whose commands are `Command`s; it takes `-q` and `-v` before their names too."""

    command_class = Command

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the group's own parameters, then `-q`, `-v` and `--help`."""
        return with_verbosity(super().get_params(ctx))


def refuse_repeated(ctx: click.Context, given: Sequence[click.Parameter]) -> None:
    """Refuse an option that takes one value and is given several times.

    Raises:
        click.UsageError: An option is repeated; the message names it.
    """
    for option, count in Counter(given).items():
        if not isinstance(option, click.Option) or option.multiple or option.is_flag or count < 2:
            continue
        raise click.UsageError(
            f"Got {option.opts[0]} {count} times. Expected it once. Try removing all but one.", ctx
        )


def explain_usage(error: click.ClickException) -> str:
    """Return the message of a usage error: what to type, and the help page of that command."""
    text = error.format_message()
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "poc"
    if isinstance(error, click.NoSuchOption):
        text = explain_option(error.option_name, ctx) or text
    elif "unexpected extra argument" in text and "=" in text and takes_settings(ctx):
        words = text[text.index("(") + 1 : text.rindex(")")]
        text = (
            f"Got {words} without an option. Expected --set before a setting. "
            f"Try --set {meant_setting(words)}."
        )
    if " Try " in text:
        return f"{text.removesuffix('.')}, or see `{path} --help`."
    ending = "" if text.endswith((".", "?")) else "."
    return f"{text}{ending} See `{path} --help`."


def explain_option(option: str, ctx: click.Context | None) -> str | None:
    """Return what to type instead of an unknown option; none if nothing is similar."""
    from poc.shared.spec.reading.keys import known_keys
    from poc.shared.spec.suggestions import KEY_HABITS, nearest

    name = option.lstrip("-")
    if name in HABITS:
        return f"Got the unknown option {option}. {HABITS[name]}"
    if ctx is None or not takes_settings(ctx):
        return None
    options = {opt for parameter in ctx.command.params for opt in parameter.opts}
    key = name.replace("-", "_")
    known = known_keys()
    meant = KEY_HABITS.get(key) or (key if key in known else None)
    own = f"--{(meant or '').removeprefix('num_').replace('_', '-')}"
    if meant and own in options:
        return f"Got the unknown option {option}. Expected {own}. Try {own} VALUE."
    if meant:
        return (
            f"Got the unknown option {option}. Expected --set for the setting {meant}. "
            f"Try --set {meant}=VALUE."
        )
    near = [f"--{other}" for other in nearest(name, [opt.lstrip("-") for opt in options])]
    near += [f"--set {other}=VALUE" for other in nearest(key, known, 1)]
    if not near:
        return None
    return (
        f"Got the unknown option {option}. Expected an option of this command. "
        f"Try one of the nearest: {', '.join(near)}."
    )


def meant_setting(words: str) -> str:
    """Return the setting that a user means: `num_epochs=3` for `epochs=3`."""
    from poc.shared.spec.suggestions import KEY_HABITS

    key, separator, value = words.partition("=")
    return f"{KEY_HABITS.get(key, key)}{separator}{value}"


def takes_settings(ctx: click.Context | None) -> bool:
    """Return true if a command takes `--set`."""
    return ctx is not None and any("--set" in parameter.opts for parameter in ctx.command.params)
