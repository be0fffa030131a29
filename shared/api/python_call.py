"""The surroundings of a call from Python: signals, silence, and messages in its words."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from poc.shared.actions.requested_run import OPTION_KEYS
from poc.shared.engine.console.verbosity import Chosen, Verbosity, choose
from poc.shared.engine.console.work_count import Event
from poc.shared.engine.worker.interruption import forwarding
from poc.shared.errors import CheckFailed, Interrupted, UsageError
from poc.shared.spec.reading.allowed_values import write
from poc.shared.spec.reading.keys import known_keys
from poc.shared.spec.suggestions import KEY_HABITS, nearest

# A command between backticks stays as it is typed in a terminal.
COMMAND = re.compile(r"(`[^`]*`)")
RESUMING = re.compile(r"`poc run --resume ([^`]+)`")
SETTING = re.compile(r"(?<![\w-])--set ([\w.]+)=(\[[^\]]*\]|'[^']*'|[\w.:/-]*\w)")
# Words that follow an option in a sentence, where a value would follow it in a command.
WORDS = "and|as|before|change|for|from|if|in|is|names|named|nor|of|or|takes|that|to|which|with"
VALUE_AHEAD = rf" (?=[\w'\"/])(?!(?:{WORDS})\b)"
OPTION = re.compile(rf"(?<![\w-])--([a-z]+(?:-[a-z]+)*)(?:{VALUE_AHEAD})?")
# Options of the command line that keywords of the same name replace.
KEYWORDS = {
    *("backend", "batch_size", "checkpoint", "config", "data", "dtype", "epochs", "k", "method"),
    *("model", "output", "overwrite", "resume", "save_every", "seed", "student", "teacher"),
    *("verbose", "weights", "set", "settings", "processes", "max_restarts", "engine", "address"),
    *("class", "patch", "stride", "tap"),
}


@contextmanager
def python_call(*, verbose: bool = False, options: str | None = None) -> Iterator[None]:
    """Do the work of a call: pass signals on to workers, print nothing unless asked to.

    An interrupt of a notebook or a script thus ends as Ctrl-C ends a command: workers stop, save
    and answer.

    Args:
        verbose: Print progress and notes.
        options: Beginning of the settings that the call takes as keywords, such as `model.`.

    Raises:
        UsageError, CheckFailed, Interrupted: As raised inside, with keywords for options of the
            command line.
    """
    former = Chosen.level
    choose(Verbosity.NORMAL if verbose else Verbosity.QUIET)
    try:
        with forwarding():
            yield
    except (UsageError, CheckFailed) as error:
        kind = UsageError if isinstance(error, UsageError) else CheckFailed
        raise kind(in_python(str(error), options)) from None
    except Interrupted as error:
        raise type(error)(RESUMING.sub(say_resume, str(error))) from None
    finally:
        choose(former)


class Notes:
    """A report that keeps the sentences of all notes, each once, and passes every event on."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self.texts: list[str] = []

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if event["event"] == "note":
            event = {**event, "text": in_python(event["text"])}
            if event["text"] not in self.texts:
                self.texts.append(event["text"])
        self._report(event)


def in_python(message: str, options: str | None = None) -> str:
    """Return a message with keywords where it names options: `weights=FILE` for `--weights FILE`.

    Commands between backticks stay.

    Args:
        message: The message.
        options: As of `python_call`.
    """
    parts = COMMAND.split(message)
    return "".join(part if part.startswith("`") else say_keywords(part, options) for part in parts)


def say_resume(found: re.Match[str]) -> str:
    """Return the call for a command that resumes a run."""
    return f"poc.run(resume={found[1]!r})"


def say_keywords(text: str, options: str | None) -> str:
    """Replace the options in a text by keywords of the same name; others stay."""

    def replace_setting(found: re.Match[str]) -> str:
        key, value = found.groups()
        if options is not None and key.startswith(options):
            return f"{key.removeprefix(options)}={value}"
        return f'settings={{"{key}": {value}}}'

    def replace_option(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        if name not in KEYWORDS:
            return found[0]
        if name == "overwrite":
            return found[0].replace("--overwrite", "overwrite=True")
        name = {"set": "settings", "class": "class_name"}.get(name, name)
        return f"{name}=" if found[0].endswith(" ") else name

    said = OPTION.sub(replace_option, SETTING.sub(replace_setting, text))
    if options is None:
        return said
    said = said.replace(f"unknown key '{options}", "unknown key '")
    # Neither a part of a name nor the name of a file: `weights=model.safetensors`, 'model.pth'.
    return re.sub(rf"(?<![\w./='\"-]){re.escape(options)}(?=[a-z_]+\b)", "", said)


def refuse_unknown(call: str, given: Mapping[str, object], allowed: Mapping[str, object]) -> None:
    """Refuse keywords that a call does not have; the message has the nearest that it has.

    Args:
        call: Name of the call, such as `poc.run`.
        given: Keywords that it was called with.
        allowed: Its keywords.

    Raises:
        UsageError: Some keyword is unknown.
    """
    for name in given:
        if name in allowed:
            continue
        # Each call has its own way to name the framework.
        known = [key for key in known_keys() if key != "backend"]
        meant = KEY_HABITS.get(name) or (name if name in known else None)
        near = [] if meant else [f"{other}=…" for other in nearest(name, list(allowed))]
        keys = [meant] if meant else nearest(name, known, 1)
        near += [say_key(key) for key in keys if say_key(key) not in near]
        raise UsageError(
            f"Got the unknown keyword {name!r}. Expected a keyword of {call}, or a setting of "
            f"`poc config keys`. Try {' or '.join(near) if near else 'leaving it out'}."
        )


def say_key(key: str) -> str:
    """Return how a call sets a setting: by its own keyword, or in `settings`."""
    for keyword, full in OPTION_KEYS.items():
        if key in (keyword, full, full.removesuffix(".name")):
            return f"{keyword}=…"
    return f'settings={{"{key}": …}}'


def write_settings(settings: Mapping[str, object]) -> list[str]:
    """Return settings as `key=value`, the form in which `--set` takes them.

    Raises:
        UsageError: A value is none, which no setting takes.
    """
    for key, value in settings.items():
        if value is None:
            raise UsageError(
                f"Got settings with {key}=None. Expected a value. Try leaving {key!r} out, which "
                "gives its default."
            )
    return [f"{key}={write(plain_value(value))}" for key, value in settings.items()]


def plain_value(value: object) -> object:
    """Return a value as JSON has it: texts for paths, and Python's numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    # An array or a scalar of NumPy; anything else that is no value of a setting is refused by its
    # text.
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else str(value)
