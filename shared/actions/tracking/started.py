"""The start of a run as a number."""

import time
from datetime import datetime


def read_time(started: str) -> float:
    """Return the seconds since 1970 of `2026-11-29T12:00:00+0000`; now if it is malformed."""
    try:
        return datetime.strptime(started, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return time.time()
