"""Sets of hyper-parameters that are drawn from ranges: the table `[sets]` of a file.

A value depends on the seed, the number of its set and its key alone, so that more sets, or another
order of the keys, leave the other values unchanged.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings

TABLE = "sets"
# Digits of a drawn number: more would only make the plan hard to read.
DIGITS = 4
# Numbers that 8 bytes of a digest can be.
NUM_DRAWS = 2**64


class RangeSpec(Settings):
    """The range of one hyper-parameter; between two integers, only integers are drawn."""

    low: int | float = Field(description="smallest value")
    high: int | float = Field(description="largest value")
    scale: Literal["linear", "log"] = Field(
        "linear", description="values, or their logarithms, are equally likely"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse an empty range, and a logarithm of 0."""
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise UsageError(
                f"Got a range from {self.low} to {self.high} ({self.scale}). Expected two numbers, "
                "the smaller first, both above 0 for log. Try low = 1e-4, high = 0.1."
            )
        return self

    def value_at(self, share: float) -> int | float:
        """Return the value at a share of the range, 0 <= share < 1."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            if self.scale == "log":
                # Each whole number has the part of the axis that rounds down to it.
                return int(self.low * ((self.high + 1) / self.low) ** share)
            return self.low + int(share * (self.high - self.low + 1))
        if self.scale == "log":
            found = self.low * math.exp(share * math.log(self.high / self.low))
        else:
            found = self.low + share * (self.high - self.low)
        return float(f"{found:.{DIGITS}g}")


class SetsSpec(Settings):
    """The number of sets, the seed of the draw, and a range for each key."""

    number: int = Field(1, ge=1, description="number of sets")
    draw_seed: int = Field(0, ge=0, description="seed of the draw")
    ranges: dict[str, RangeSpec] = Field(min_length=1, description="key of --set -> its range")


def read_sets(
    table: object, number: int | None, draw_seed: int | None
) -> list[dict[str, int | float]]:
    """Draw the sets of a file's table `[sets]`; a single empty set without a table.

    Args:
        table: The table, or None.
        number: Number of sets in place of the table's.
        draw_seed: Seed in place of the table's.

    Raises:
        UsageError: The table is wrong, or there are options for a file without one.
    """
    options = {"number": number, "draw_seed": draw_seed}
    given = {key: value for key, value in options.items() if value is not None}
    if table is None:
        if given:
            raise UsageError(
                "Got --sets or --draw-seed without ranges. Expected a config with the table "
                "[sets]. Try --config with a file of configs/habits."
            )
        return [{}]
    if not isinstance(table, Mapping):
        raise UsageError(
            f"Got {TABLE}={table!r}. Expected a table. Try [sets.ranges] with a range per key."
        )
    return draw_sets(SetsSpec.parse({**table, **given}, TABLE))


def draw_sets(spec: SetsSpec) -> list[dict[str, int | float]]:
    """Return, for each set, key -> value."""
    return [
        {
            key: limits.value_at(draw_share(spec.draw_seed, number, key))
            for key, limits in spec.ranges.items()
        }
        for number in range(spec.number)
    ]


def draw_share(draw_seed: int, number: int, key: str) -> float:
    """Return a uniform number below 1 that depends on these three alone."""
    digest = hashlib.sha256(f"{draw_seed}/{number}/{key}".encode()).digest()
    # Divided as integers: a float of 64 bits could be rounded up to 1.
    return (int.from_bytes(digest[:8]) * 2**52 // NUM_DRAWS) / 2**52
