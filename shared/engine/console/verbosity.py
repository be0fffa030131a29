"""How much a command tells beside its result: nothing, the usual, or what its workers print too.

One choice for the whole process, made by the command line: threads of a sweep and every worker's
handle look it up here. It changes nothing about what is computed or stored.
"""

from enum import Enum


class Verbosity(Enum):
    """What `-q` and `-v` choose."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


class Chosen:
    """The choice of this process."""

    level = Verbosity.NORMAL


def choose(level: Verbosity) -> None:
    """Choose for everything that is told from here on."""
    Chosen.level = level


def is_quiet() -> bool:
    """Whether progress and notes are left out."""
    return Chosen.level is Verbosity.QUIET


def is_verbose() -> bool:
    """Whether workers are listened to."""
    return Chosen.level is Verbosity.VERBOSE
