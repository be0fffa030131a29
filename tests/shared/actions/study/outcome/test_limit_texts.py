"""The texts of limits."""

import pytest

from poc.shared.actions.study.outcome.limit_texts import read_latency, read_limits, read_size
from poc.shared.analysis.study.limits import NO_LIMITS, Limits
from poc.shared.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1MB", 1e6), ("350 kB", 3.5e5), ("0.5mb", 5e5), ("2MiB", 2**21), ("900B", 900)],
)
def test_sizes(text, expected):
    assert read_size(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("20ms", 0.02), ("0.1 s", 0.1), ("500us", 5e-4), ("500µs", 5e-4)]
)
def test_latencies(text, expected):
    assert read_latency(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "1", "MB", "0MB", "-1MB", "1 ms", "1e6B", "1MB each"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match=r"Got --max-size .* Expected a number above 0 .* Try"):
        read_size(text)


@pytest.mark.parametrize("text", ["", "20", "0ms", "20MB", "-2ms", "20 minutes"])
def test_what_is_no_latency(text):
    with pytest.raises(UsageError, match=r"Got --max-latency .* Expected a number above 0 .* Try"):
        read_latency(text)


def test_no_text_is_no_limit():
    assert read_limits(None, None) == NO_LIMITS
    assert read_limits("1MB", None) == Limits(max_bytes=1e6)
