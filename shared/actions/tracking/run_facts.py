"""Facts about a run that do not change while it trains."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Facts about a run that a tracker gets before its epochs.

    Attributes:
        name: Name of the run in the tracker, and its folder there.
        folder: Absolute run folder.
        started: Time of its start, `2026-11-29T12:00:00+0000`; it tells two runs in one folder
            apart.
        settings: Dotted name -> value as text, of each setting.
    """

    name: str
    folder: str
    started: str
    settings: Mapping[str, str]


def read_time(started: str) -> float:
    """Return the seconds since 1970 of `2026-11-29T12:00:00+0000`; now if it is malformed."""
    try:
        return datetime.strptime(started, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return time.time()
