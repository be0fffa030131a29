"""The tables of `docs/scale.md`, and the marked part of that page."""

import math
from pathlib import Path

import pytest

from poc.benchmarks.scale_page import MARKERS, SHOWN, fill, read_link, write_tables

FOUND = {
    "machine": {"processor": "a processor", "num_cpus": 2, "git_commit": "abc"},
    "decoding": {"image_seconds": 0.005},
    "meeting": {
        "tell_seconds": 11e-6,
        "hear_seconds": 20e-6,
    },
    # 1 ms and 1 GB/s.
    "sums torch": {"sum_seconds": {"1000": 0.001001, "1000000": 0.002, "10000000": 0.011}},
    # 10 ms and 20 ms for each image.
    "steps resnet torch": {
        "step_seconds": {"1": 0.03, "2": 0.05, "4": 0.09},
        "gradient_bytes": 100_000_000,
        "norm_channels": [64, 128],
    },
    # Two ranks take 90 ms for four images of eight, 1 ms and 0.1 s for gradients, and the rest.
    "check resnet torch": {"batch_size": 8, "step_seconds": {"1": 0.17, "2": 0.2}, "load": 1.0},
}
TITLES = {"resnet": "resnet50"}


def test_the_tables_follow_from_the_figures():
    text = write_tables(FOUND, TITLES)
    assert "| resnet50, torch | 10.0 + 20.00 b | 95.37 | 6 sums, 3.0 KiB | 100,003,080 | 5.0 |" in (
        text
    )
    assert "| resnet50, torch | 1 | 170.0 | 170.0 | 1.00 | 1.0 |" in text
    line = next(line for line in text.splitlines() if line.startswith("| resnet50, torch | 2 |"))
    # 90 + 1 + 100 + 6 sums of 1 ms + 1 ms of latency, and some microseconds.
    assert float(line.split("|")[3]) == pytest.approx(198.1, abs=0.2)


def test_a_forecast_has_a_column_for_each_number_of_ranks():
    rows = [line for line in write_tables(FOUND, TITLES).splitlines() if "ceiling" in line]
    assert len(rows) == 4
    assert {row.count("|") for row in rows} == {len(SHOWN) + 4}


def test_a_link_is_found_from_sums_over_two_ranks():
    link = read_link(FOUND, "torch")
    assert link.latency_seconds == pytest.approx(0.0005)
    assert link.bytes_per_second == pytest.approx(1e9)


def test_sums_that_do_not_grow_have_no_end_of_speed():
    found = {"sums tf": {"sum_seconds": {"64": 0.002, "4096": 0.001}}}
    assert read_link(found, "tf").bytes_per_second == math.inf


def test_networks_without_figures_are_left_out():
    assert "mobilenet" not in write_tables(FOUND, {**TITLES, "mobilenet": "mobilenet_v2"})


def test_only_the_marked_part_of_a_page_changes():
    begin, end = MARKERS
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    filled = fill(page, "new\n")
    assert filled == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    assert fill(filled, "new\n") == filled
    with pytest.raises(ValueError, match="Expected both"):
        fill(f"{end}{begin}", "new")


def test_the_page_has_both_markers():
    page = Path(__file__).parents[2] / "docs" / "scale.md"
    assert fill(page.read_text(encoding="utf-8"), "new").count("new\n") >= 1
