"""What a command says of options that it does not know, and of one that is given twice."""

from collections import Counter
from collections.abc import Sequence

import click

from .verbosity import with_verbosity

HABITS = {
    "source": "it is called --teacher now",
    "target": "it is called --student now",
    "resume-from": "go on with a run by `poc run --resume DIR`",
}


class Command(click.Command):
    """A command that takes `-q` and `-v`, and refuses an option given twice.

    Of two values click would take the last without a word.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then `-q`, `-v` and `--help`."""
        return with_verbosity(super().get_params(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, after a look at how often each option stands there."""
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            refuse_repeated(ctx, given)
        return super().parse_args(ctx, args)


class Group(click.Group):
    """A group whose commands are `Command`s; `-q` and `-v` stand before their names too."""

    command_class = Command

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The group's own parameters, then `-q`, `-v` and `--help`."""
        return with_verbosity(super().get_params(ctx))


def refuse_repeated(ctx: click.Context, given: Sequence[click.Parameter]) -> None:
    """Refuse an option that takes one value and stands there several times.

    Raises:
        click.UsageError: It names the option.
    """
    for option, count in Counter(given).items():
        if not isinstance(option, click.Option) or option.multiple or option.is_flag or count < 2:
            continue
        raise click.UsageError(
            f"received {option.opts[0]} {count} times; allowed is once: remove all but one.", ctx
        )


def explain_usage(error: click.ClickException) -> str:
    """One or two sentences for a usage error: what to type, and the help page of that command."""
    text = error.format_message()
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "poc"
    if isinstance(error, click.NoSuchOption):
        text = explain_option(error.option_name, ctx) or text
    elif "unexpected extra argument" in text and "=" in text and takes_settings(ctx):
        words = text[text.index("(") + 1 : text.rindex(")")]
        text = f"received {words} without an option: write --set {meant_setting(words)}."
    ending = "" if text.endswith((".", "?")) else "."
    return f"{text}{ending} See `{path} --help`."


def explain_option(option: str, ctx: click.Context | None) -> str | None:
    """What to type in place of an unknown option, where that is known."""
    from poc.shared.spec.suggestions import KEY_HABITS, nearest

    name = option.lstrip("-")
    if name in HABITS:
        return f"received the unknown option {option}: {HABITS[name]}."
    if ctx is None or not takes_settings(ctx):
        return None
    options = {opt for parameter in ctx.command.params for opt in parameter.opts}
    key = name.replace("-", "_")
    known = known_keys()
    meant = KEY_HABITS.get(key) or (key if key in known else None)
    own = f"--{(meant or '').removeprefix('num_').replace('_', '-')}"
    if meant and own in options:
        return f"received the unknown option {option}: write {own}."
    if meant:
        return f"received the unknown option {option}: write --set {meant}=VALUE."
    near = [f"--{other}" for other in nearest(name, [opt.lstrip("-") for opt in options])]
    near += [f"--set {other}=VALUE" for other in nearest(key, known, 1)]
    if not near:
        return None
    return f"received the unknown option {option}; the nearest: {', '.join(near)}."


def meant_setting(words: str) -> str:
    """`num_epochs=3` for `epochs=3`."""
    from poc.shared.spec.suggestions import KEY_HABITS

    key, separator, value = words.partition("=")
    return f"{KEY_HABITS.get(key, key)}{separator}{value}"


def takes_settings(ctx: click.Context | None) -> bool:
    """Whether a command takes `--set`."""
    return ctx is not None and any("--set" in parameter.opts for parameter in ctx.command.params)


def known_keys() -> set[str]:
    """The last names of all keys of a run."""
    from poc.shared.spec.reading.keys import list_keys

    return {row["key"].rpartition(".")[2] for row in list_keys("lightlayers")}
