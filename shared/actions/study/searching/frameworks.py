"""The frameworks of a study: those that search, and those that test."""

from collections.abc import Sequence

from poc.shared.engine.launch.installed import find_missing
from poc.shared.errors import UsageError
from poc.shared.spec.run import BACKENDS

BOTH = "both"
"""Alone in place of names: each framework searches, and tests its own finalists."""


def check_frameworks(frameworks: Sequence[str]) -> None:
    """Refuse unknown frameworks, none, and one that is named twice.

    Raises:
        UsageError: See above.
    """
    known = [name for name in frameworks if name in BACKENDS]
    if tuple(frameworks) != (BOTH,) and (not known or len(set(known)) != len(frameworks)):
        raise UsageError(
            f"Got --frameworks {','.join(frameworks)!r}. Expected torch, tf, a list of them that "
            "begins with the one that searches, or both, which search. Try --frameworks torch,tf."
        )


def require_installed(frameworks: Sequence[str]) -> None:
    """Refuse frameworks that are not installed: each of their cells would fail.

    Raises:
        UsageError: See above.
    """
    tested = name_tested(frameworks)
    for name in tested:
        if missing := find_missing(name):
            others = ",".join(other for other in tested if other != name)
            alone = f", or --frameworks {others}" if others else ""
            raise UsageError(
                f"Got --frameworks {','.join(frameworks)}, and {name} needs "
                f"{' and '.join(missing)}, not installed here. Expected installed frameworks. Try "
                f"pip install 'poc[{name}]'{alone}."
            )


def name_tested(frameworks: Sequence[str]) -> tuple[str, ...]:
    """Return the frameworks that test finalists, the first one first."""
    return ("torch", "tf") if BOTH in frameworks else tuple(frameworks)


def name_searching(frameworks: Sequence[str]) -> tuple[str, ...]:
    """Return the frameworks that search."""
    return name_tested(frameworks)[: None if BOTH in frameworks else 1]
