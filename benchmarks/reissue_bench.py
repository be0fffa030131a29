"""Give bench files without a checksum one, after a check by the rule of their format.

    python benchmarks/reissue_bench.py --date 2026-11-28 docs/results/bench/*.json

Such a file is verified first: its derived numbers are computed again from its samples. That rule
cannot find an earlier change of other fields, and a note in the file records this limit. Samples
and numbers do not change, so the file has the first format with a checksum, whose intervals are the
same. Files with a checksum and other files are left alone.
"""

import argparse
import json
import sys
from pathlib import Path

from poc.shared.actions.bench import verify_bench
from poc.shared.analysis.timing.seal import seal
from poc.shared.engine.timing.bench_file import BOOTSTRAP_FORMAT, UNSEALED_FORMAT
from poc.shared.files.whole import write_json


def main() -> int:
    """Print one line per file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", required=True, help="date of the check, written into each file")
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    for path in arguments.files:
        print(f"{path}: {reissue(path, arguments.date)}")
    return 0


def reissue(path: Path, date: str) -> str:
    """Replace one file; return what was done."""
    if json.loads(path.read_text(encoding="utf-8")).get("format") != UNSEALED_FORMAT:
        return "left alone"
    content = verify_bench(path)
    note = (
        f"Written in the format {UNSEALED_FORMAT!r}, without a checksum; given one on {date}, "
        "after its derived numbers were computed again. An earlier change of fields that affect no "
        "derived number would not have been seen."
    )
    write_json(path, seal({**content, "format": BOOTSTRAP_FORMAT, "reissued": note}))
    return "verified, and given a checksum"


if __name__ == "__main__":
    sys.exit(main())
