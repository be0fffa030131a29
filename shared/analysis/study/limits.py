"""Limits on size and latency: which rows may be recommended, and which row is the nearest."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from poc.shared.analysis.verdicts.digits import count_digits
from poc.shared.spec.run import BACKENDS

from .costs import Cost

Key = tuple[str, str]
"""Candidate and framework."""
UNKNOWN = float("inf")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the user; None: no limit.

    Attributes:
        max_bytes: Largest size of the exported file; of the weights, if there is no file.
        max_latency_seconds: Largest latency of the exported file for one image.
    """

    max_bytes: float | None = None
    max_latency_seconds: float | None = None

    @property
    def is_any(self) -> bool:
        """Return whether there is a limit."""
        return self.max_bytes is not None or self.max_latency_seconds is not None

    def excess(self, cost: Cost) -> float:
        """Return the cost over its limit, the larger of both; more than 1 is over a limit.

        A cost that was not measured is not known to keep a limit.
        """
        pairs = ((size_of(cost), self.max_bytes), (cost.latency_seconds, self.max_latency_seconds))
        shares = [
            UNKNOWN if value is None else value / limit
            for value, limit in pairs
            if limit is not None
        ]
        return max(shares, default=0.0)

    def describe(self) -> str:
        """Return `at most 1.00 MB and at most 20.0 ms for one image`."""
        parts = []
        if self.max_bytes is not None:
            parts.append(f"at most {write_size(self.max_bytes)}")
        if self.max_latency_seconds is not None:
            parts.append(f"at most {write_latency(self.max_latency_seconds)}")
        return " and ".join(parts)


NO_LIMITS = Limits()


def size_of(cost: Cost) -> float | None:
    """Return the size of the file, or else of the weights."""
    return cost.weight_bytes if cost.file_bytes is None else cost.file_bytes


def find_allowed(keys: Iterable[Key], costs: Mapping[Key, Cost], limits: Limits) -> set[Key]:
    """Return the rows that may be recommended.

    Rows without a network, such as the largest class, keep every limit, but are no answer to it:
    if no network keeps the limits, the nearest one alone is allowed.
    """
    found = set(keys)
    networks = sorted(key for key in found if key[1] in BACKENDS)
    if not limits.is_any or not networks:
        return found
    fitting = {key for key in networks if keeps(key, costs, limits)}
    if fitting:
        return fitting | found.difference(networks)
    return {min(networks, key=lambda key: (limits.excess(costs.get(key, Cost())), key))}


def keeps(key: Key, costs: Mapping[Key, Cost], limits: Limits) -> bool:
    """Return whether a row is shown to keep the limits; one without a network does."""
    return key[1] not in BACKENDS or limits.excess(costs.get(key, Cost())) <= 1


def write_size(num_bytes: float, limit: float | None = None) -> str:
    """Return `1.20 MB` or `350.0 kB`, with more digits if it would look like a limit in bytes."""
    name, unit, digits = ("MB", 1e6, 2) if num_bytes >= 1e6 else ("kB", 1e3, 1)
    if limit is not None:
        digits = count_digits([num_bytes / unit], limit / unit, digits)
    return f"{num_bytes / unit:,.{digits}f} {name}"


def write_latency(seconds: float, limit: float | None = None) -> str:
    """Return `12.3 ms for one image`, with more digits if it would look like a limit in seconds."""
    return f"{write_milliseconds(seconds, limit)} ms for one image"


def write_milliseconds(seconds: float, limit: float | None = None) -> str:
    """Return milliseconds with at least three digits: `0.234`, `12.3`, `1,235`."""
    milliseconds = 1e3 * seconds
    wanted = 2 - math.floor(math.log10(milliseconds)) if milliseconds > 0 else 2
    digits = min(max(wanted, 0), 4)
    if limit is not None:
        digits = count_digits([milliseconds], 1e3 * limit, digits)
    return f"{milliseconds:,.{digits}f}"
