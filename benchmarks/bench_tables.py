"""Markdown tables of several bench files, computed again from their raw samples.

    python benchmarks/bench_tables.py docs/results/bench/*.json

Each file is verified first, and all of them must come from one machine. The first table has a line
per side, the second a line per pair and part.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from poc.shared.actions.bench import verify_bench
from poc.shared.analysis.timing.report import ROW_TITLES, judge_ratio, write_mebibytes, write_ratio
from poc.shared.analysis.timing.samples import check_one_machine
from poc.shared.engine.timing.bench_file import BenchFile

Benches = Mapping[str, BenchFile]


def main(paths: Sequence[str]) -> int:
    """Print both tables."""
    benches = {Path(path).stem: verify_bench(Path(path)) for path in paths}
    check_one_machine([p for bench in benches.values() for p in bench["processes"]])
    columns = ("side", "step, ms", "IQR", "images/s", "step over bare step")
    print_table(("file", *columns, "epoch over its steps", "peak memory, MiB"), side_lines(benches))
    print_table(
        ("file", "part", "pair", "ratio of seconds [95 % interval]", "verdict"),
        ratio_lines(benches),
    )
    return 0


def side_lines(benches: Benches) -> list[list[str]]:
    """Return one line per side."""
    return [
        [
            name,
            side["name"],
            f"{1000 * side['rows']['step']['median']:.1f}",
            f"{1000 * side['rows']['step']['iqr']:.1f}",
            f"{side['images_per_second']:,.0f}",
            write_ratio(side["loop_over_bare"]),
            write_ratio(side["epoch_over_steps"]),
            write_mebibytes(side["peak_memory_bytes"]),
        ]
        for name, bench in benches.items()
        for side in bench["derived"]["sides"]
    ]


def ratio_lines(benches: Benches) -> list[list[str]]:
    """Return one line per pair and part."""
    lines = []
    for name, bench in benches.items():
        names = [side["name"] for side in bench["derived"]["sides"]]
        for item in bench["derived"]["ratios"]:
            pair = f"{names[item['first']]} / {names[item['second']]}"
            verdict = judge_ratio(item, names, is_doubtful=bool(bench["derived"]["warnings"]))
            lines.append([name, ROW_TITLES[item["row"]], pair, write_ratio(item), verdict])
    return lines


def print_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table and an empty line."""
    for cells in (columns, ["---"] * len(columns), *lines):
        print("| " + " | ".join(cells) + " |")
    print()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
