"""Give bench files of the format before a checksum, after a check by the rule of that format.

    python benchmarks/reissue_bench.py --date 2026-11-28 docs/results/bench/*.json

Such a file is verified first: its derived numbers are made again from its samples. Whether anything
else in it was changed before, its rule cannot tell, and the file says so from then on. Samples and
numbers stay as they are; files that have a checksum, or are no bench files, are left alone.
"""

import argparse
import json
import sys
from pathlib import Path

from poc.shared.actions.bench import UNSEALED_FORMAT, verify_bench
from poc.shared.analysis.timing.seal import seal
from poc.shared.engine.timing.rounds import FORMAT
from poc.shared.files.whole import write_json


def main() -> int:
    """Print one line a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", required=True, help="of the check: written into each file")
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    for path in arguments.files:
        print(f"{path}: {reissue(path, arguments.date)}")
    return 0


def reissue(path: Path, date: str) -> str:
    """Replace one file; returns what was done."""
    if json.loads(path.read_text(encoding="utf-8")).get("format") != UNSEALED_FORMAT:
        return "left alone"
    content = verify_bench(path)
    note = (
        f"Written in the format {UNSEALED_FORMAT!r}, without a checksum; given one on {date}, "
        "after its derived numbers were made again. What was changed before that day in fields "
        "that decide no derived number would not have been seen."
    )
    write_json(path, seal({**content, "format": FORMAT, "reissued": note}))
    return "verified, and given a checksum"


if __name__ == "__main__":
    sys.exit(main())
