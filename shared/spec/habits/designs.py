"""The designs of an experiment over the habits: which of them are native together."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

Design = Literal["full", "single", "ends"]
DESIGNS: tuple[Design, ...] = get_args(Design)
COMMON, NATIVE, ALL_BUT = "common", "native", "all_but_"


class Arm(NamedTuple):
    """One choice for all habits: its name and the habits that are native in it."""

    name: str
    native: frozenset[str]


def list_arms(habits: Sequence[str], design: Design) -> list[Arm]:
    """Return the arms of a design, each once; the names are folder names.

    `ends` has all common and all native. `single` adds each habit alone. `full` adds all but each.
    With one or two habits some of them are the same, and the first name counts.

    Args:
        habits: Names of the habits, at least one.
        design: The design.
    """
    every = frozenset(habits)
    found = {frozenset[str](): COMMON, every: NATIVE}
    if design != "ends":
        for name in habits:
            found.setdefault(frozenset({name}), name)
    if design == "full":
        for name in habits:
            found.setdefault(every - {name}, f"{ALL_BUT}{name}")
    return [Arm(name, native) for native, name in found.items()]
