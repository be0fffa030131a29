"""The texts of `--max-size` and `--max-latency`: a number with its unit."""

import re
from collections.abc import Mapping

from poc.shared.analysis.study.limits import Limits
from poc.shared.errors import UsageError

FORM = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zµ]+)", re.IGNORECASE)
SIZES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20}
LATENCIES = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


def read_limits(size: str | None, latency: str | None) -> Limits:
    """Read both limits; none: no limit.

    Raises:
        UsageError: A text is no size or time above nothing.
    """
    return Limits(
        max_bytes=None if size is None else read_size(size),
        max_latency_seconds=None if latency is None else read_latency(latency),
    )


def read_size(text: str) -> float:
    """Read `1MB`, `350 kB` or `2MiB` as bytes; errors as `read_amount`."""
    return read_amount(text, SIZES, "--max-size", "kB or MB", "1MB")


def read_latency(text: str) -> float:
    """Read `20ms`, `500us` or `0.1s` as seconds; errors as `read_amount`."""
    return read_amount(text, LATENCIES, "--max-latency", "us, ms or s", "20ms")


def read_amount(
    text: str, units: Mapping[str, float], option: str, named: str, example: str
) -> float:
    """Read a number with its unit.

    Args:
        text: The value of the option.
        units: Unit in small letters -> its factor.
        option: Option that a message names.
        named: Units that a message names.
        example: A right value.

    Raises:
        UsageError: The text is no amount above nothing.
    """
    found = FORM.fullmatch(text.strip())
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None or not float(found[1]):
        raise UsageError(
            f"Got {option} {text!r}. Expected a number above 0 with its unit {named}. Try "
            f"{option} {example}."
        )
    return float(found[1]) * unit
