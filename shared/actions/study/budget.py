"""The value of `--budget`: a time with its unit, and no less than that of a former call."""

import math
import re

from poc.shared.errors import UsageError

FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|m|h)")
UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
LEAST_SECONDS = 180.0


def refuse_less(budget_seconds: float, former_seconds: float) -> None:
    """Refuse a budget below that of a former call: its answer would replace a better one.

    Raises:
        UsageError: See above.
    """
    if budget_seconds < former_seconds:
        least = f"{math.ceil(former_seconds)}s"
        raise UsageError(
            f"Got --budget {math.floor(budget_seconds)}s, and this study has had {least}. Expected "
            "as much or more, since it goes on with all that it has. Try --budget "
            f"{least}, or a new --output."
        )


def read_budget(text: str) -> float:
    """Read `30m`, `90min`, `2h` or `300s` as seconds.

    Raises:
        UsageError: The text is no time, or one below three minutes.
    """
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"Got --budget {text!r}. Expected a number with its unit s, m or h. Try --budget 30m."
        )
    seconds = float(found[1]) * UNITS[found[2]]
    if seconds < LEAST_SECONDS:
        raise UsageError(
            f"Got --budget {text!r}. Expected at least 3 minutes, in which a few cells and the "
            "page have room. Try --budget 5m."
        )
    return seconds
