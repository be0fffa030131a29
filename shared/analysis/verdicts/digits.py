"""Decimals of written numbers: as many as show on which side of a bound a number is."""

from collections.abc import Iterable

MAX_DIGITS = 6


def count_digits(values: Iterable[float], bound: float = 0.0, least: int = 1) -> int:
    """Return the decimals with which no value is written like the bound, unless it is equal to it.

    Args:
        values: Numbers that are written with equally many decimals.
        bound: The number that decides.
        least: Decimals that suffice elsewhere; also for values that rounding errors alone keep
            from the bound.
    """
    others = [value for value in values if value != bound]
    for digits in range(least, MAX_DIGITS + 1):
        if all(round(value, digits) != round(bound, digits) for value in others):
            return digits
    return least


def write_interval(low: float, high: float, sign: str = "") -> str:
    """Return an interval of shares in points: `-0.4 to 2.8`, and `0.04 to 2.80` for one above 0.

    Args:
        low: Lower end, a share.
        high: Upper end.
        sign: `+` to write the sign of positive numbers too.
    """
    ends = (100 * low, 100 * high)
    digits = count_digits(ends)
    return " to ".join(f"{end:{sign}.{digits}f}" for end in ends)


def write_difference(difference: float, low: float, high: float, sign: str = "") -> str:
    """Return a difference of shares in points, not as 0.0 if its interval is on one side of 0.

    Args:
        difference: The difference, a share.
        low: Lower end of its interval.
        high: Upper end.
        sign: `+` to write the sign of a positive number too.
    """
    digits = count_digits([100 * difference]) if low > 0 or high < 0 else 1
    return f"{100 * difference:{sign}.{digits}f}"
