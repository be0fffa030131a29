"""How much a command prints besides its result: nothing, the usual, or its workers' output too.

The command line makes one choice for the entire process: threads of a sweep and every worker's
handle look it up here. It does not change what is computed or stored.
"""

from enum import Enum


class Verbosity(Enum):
    """The levels that `-q` and `-v` choose."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"


class Chosen:
    """The choice of this process."""

    level = Verbosity.NORMAL


def choose(level: Verbosity) -> None:
    """Choose the level of everything that is printed from here on."""
    Chosen.level = level


def is_quiet() -> bool:
    """Say if progress and notes are left out."""
    return Chosen.level is Verbosity.QUIET


def is_verbose() -> bool:
    """Say if the output of workers is printed too."""
    return Chosen.level is Verbosity.VERBOSE
